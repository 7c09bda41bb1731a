// An empty conversation: what it is for, and a few things to ask.
import { useQuery } from '@tanstack/react-query'
import { queries } from '@/hooks/queries'
import { Empty } from '@/ui/state'

const EXAMPLES = [
  'Build a small task app that keeps its data, and start it.',
  'Look around in this machine and tell me what is installed.',
  'Write a script that fails, run it, and mend it.',
]

export function Greeting({ onPick }: { onPick: (text: string) => void }) {
  const { data: models } = useQuery(queries.models)
  const demoOnly = models ? models.models.every((model) => model.demo) : false
  return (
    <Empty
      title="What shall be done?"
      action={
        <ul className="mt-1 flex w-full max-w-112 flex-col divide-y divide-line rounded-md border">
          {EXAMPLES.map((example) => (
            <li key={example}>
              <button
                type="button"
                onClick={() => onPick(example)}
                className="w-full px-3 py-1.5 text-left text-pretty text-ink-2 hover:bg-hover hover:text-ink max-md:py-3"
              >
                {example}
              </button>
            </li>
          ))}
        </ul>
      }
    >
      The agent works in this project's machine: it writes files, runs commands, starts services.
      {demoOnly && ' No model key is set: the scripted demo answers.'}
    </Empty>
  )
}
