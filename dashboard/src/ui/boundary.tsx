// Keeps a broken part from taking the page with it.
import { Component, type ReactNode } from 'react'
import { Button } from './button'
import { Failure } from './state'

export class Boundary extends Component<{ children: ReactNode }, { error: Error | null }> {
  override state: { error: Error | null } = { error: null }

  static getDerivedStateFromError(error: Error) {
    return { error }
  }

  override render() {
    const { error } = this.state
    if (!error) return this.props.children
    return (
      <Failure
        title="This panel broke"
        message={error.message}
        kept="The project and the other panels go on."
        action={<Button onClick={() => this.setState({ error: null })}>Show it again</Button>}
      />
    )
  }
}
