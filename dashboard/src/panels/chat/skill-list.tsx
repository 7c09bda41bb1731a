// The project's skills, to choose from while their command is typed at the beginning of a message.
import { useQuery } from '@tanstack/react-query'
import { useId, useState, type KeyboardEvent } from 'react'
import { useProject } from '@/hooks/live'
import { useMachineState } from '@/hooks/machine'
import { queries } from '@/hooks/queries'
import { cx } from '@/util/class'
import { matchingSkills } from './skill-names'

/** What is offered for the text, and the keys that choose of it. */
export function useSkillChoice(text: string, onPick: (text: string) => void) {
  const { id } = useProject()
  const { running } = useMachineState()
  const list = useId()
  const [chosen, setChosen] = useState({ text, at: 0 })
  const [hidden, setHidden] = useState<string | null>(null)
  const { data } = useQuery({ ...queries.skills(id), enabled: running && text.startsWith('/') })
  const skills = hidden === text ? [] : matchingSkills(text, data?.skills ?? [])
  const at = chosen.text === text ? Math.min(chosen.at, skills.length - 1) : 0
  const pick = (name: string) => onPick(`/skill:${name} `)

  /** Whether the key was for the list. */
  const onKey = (event: KeyboardEvent): boolean => {
    const skill = skills[at]
    if (!skill) return false
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0
    if (step !== 0) setChosen({ text, at: (at + step + skills.length) % skills.length })
    else if (event.key === 'Escape') setHidden(text)
    else if ((event.key === 'Enter' || event.key === 'Tab') && !event.shiftKey) pick(skill.name)
    else return false
    event.preventDefault()
    return true
  }
  const isOpen = skills.length > 0
  return {
    onKey,
    /** For the field that is typed into. */
    ids: {
      'aria-autocomplete': 'list' as const,
      ...(isOpen ? { 'aria-controls': list, 'aria-activedescendant': `${list}-${at}` } : {}),
    },
    list: isOpen && (
      <div id={list} role="listbox" aria-label="Skills" className="border-b p-1">
        {skills.map(({ name, description }, place) => (
          <div
            key={name}
            id={`${list}-${place}`}
            role="option"
            // The field keeps the focus: its keys choose.
            tabIndex={-1}
            aria-selected={place === at}
            onPointerDown={(event) => {
              event.preventDefault()
              pick(name)
            }}
            className={cx(
              'flex min-h-7 items-center gap-3 rounded-md px-2 hover:bg-hover max-md:min-h-10',
              place === at && 'bg-hover',
            )}
          >
            <code className="shrink-0 text-sm">/skill:{name}</code>
            <span className="truncate text-sm text-ink-3">{description}</span>
          </div>
        ))}
      </div>
    ),
  }
}
