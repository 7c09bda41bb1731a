// Instructions that the agent finds in the project and reads when it needs them.
import type { UseQueryResult } from '@tanstack/react-query'
import type { SkillList } from '@/api/bridge-types'
import { useAskAgent } from '@/hooks/ask-agent'
import { useOpenPanel } from '@/hooks/dock'
import { Button, IconButton } from '@/ui/button'
import { Faults, Listing, type Gate } from './listing'
import { Part } from './part'

export function Skills({ query, gate }: { query: UseQueryResult<SkillList>; gate: Gate }) {
  return (
    <Part
      anchor="skills"
      title="Skills"
      note={
        <>
          Folders with a <code>SKILL.md</code> in <code>.toft/skills</code>,{' '}
          <code>.agents/skills</code>, <code>.claude/skills</code> or <code>.pi/skills</code>. It
          knows what each is for, and reads it when it is needed.
        </>
      }
    >
      <Listing what="skills" query={query} gate={gate}>
        {(list) => <SkillRows list={list} />}
      </Listing>
    </Part>
  )
}

function SkillRows({ list: { skills, faults } }: { list: SkillList }) {
  const ask = useAskAgent()
  const open = useOpenPanel()
  const show = (path: string) => open({ kind: 'files', path })
  return (
    <>
      {skills.length === 0 ? (
        <div className="flex flex-wrap items-center gap-2">
          <span className="text-ink-2">None in this project.</span>
          <Button
            icon="chat"
            onClick={() => ask('Write a skill into .toft/skills that says how we ')}
          >
            Ask the agent for one
          </Button>
        </div>
      ) : (
        <ul aria-label="Skills" className="divide-y divide-line border-y">
          {skills.map(({ name, description, path, source, disableModelInvocation }) => (
            <li key={path} className="flex items-start gap-2 py-1.5 pl-1">
              <div className="min-w-0 grow">
                <div className="flex flex-wrap items-baseline gap-x-2">
                  <button
                    type="button"
                    className="font-mono text-sm font-medium break-all hover:underline"
                    onClick={() => show(path)}
                  >
                    {name}
                  </button>
                  <span className="text-sm text-ink-3">
                    {[
                      source === 'home' ? 'of the home folder' : null,
                      disableModelInvocation ? 'only when you ask for it' : null,
                    ]
                      .filter((each) => each !== null)
                      .join(', ')}
                  </span>
                </div>
                <p className="line-clamp-2 text-sm break-words text-ink-2" title={description}>
                  {description}
                </p>
              </div>
              <IconButton
                icon="chat"
                label={`Use ${name} in the chat`}
                onClick={() => ask(`/skill:${name} `)}
              />
            </li>
          ))}
        </ul>
      )}
      <Faults faults={faults} onOpen={show} />
    </>
  )
}
