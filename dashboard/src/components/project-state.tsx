// How the state of a project, its machine and its agent is drawn: a glyph and a word each.
import type { SessionInfo } from '@/api/bridge-types'
import type { AgentStatus, MachineState, Project } from '@/api/types'
import { Glyph, type Shape, type Tone } from '@/ui/glyph'

export interface Look {
  shape: Shape
  tone: Tone
  word: string
  pulse?: boolean
}

const MACHINE: Record<MachineState, Look> = {
  creating: { shape: 'half', tone: 'moss', word: 'Creating', pulse: true },
  running: { shape: 'play', tone: 'moss', word: 'Running' },
  frozen: { shape: 'pause', tone: 'quiet', word: 'Frozen' },
  cold: { shape: 'ring', tone: 'quiet', word: 'Cold' },
  stopped: { shape: 'square', tone: 'quiet', word: 'Stopped' },
  error: { shape: 'cross', tone: 'red', word: 'Failed' },
  destroyed: { shape: 'cross', tone: 'quiet', word: 'Deleted' },
}

const AGENT: Record<AgentStatus, Look> = {
  idle: { shape: 'dot', tone: 'quiet', word: 'Idle' },
  working: { shape: 'disc', tone: 'moss', word: 'Working', pulse: true },
  waiting: { shape: 'ask', tone: 'amber', word: 'Needs you' },
  error: { shape: 'cross', tone: 'red', word: 'Failed' },
}

export function machineLook(state: MachineState): Look {
  return MACHINE[state] ?? { shape: 'dot', tone: 'quiet', word: state }
}

/** Whether a person has to do something there: answer, raise a budget, decide on a plan. */
export function needsYou({ status, planProposed }: Pick<SessionInfo, 'status' | 'planProposed'>) {
  return status === 'waiting' || (planProposed === true && status !== 'working')
}

export function sessionLook(session: Pick<SessionInfo, 'status' | 'planProposed'>): Look {
  return needsYou(session) ? AGENT.waiting : agentLook(session.status)
}

function agentLook(status: AgentStatus): Look {
  return AGENT[status] ?? AGENT.idle
}

/** What of a project matters most: the agent when it is up to something, else the machine. A question
 * stays open while the machine rests. */
export function projectLook({ agentStatus, state }: Project): Look {
  const rests = state === 'frozen' || state === 'cold'
  return (agentStatus === 'working' && state === 'running') ||
    (agentStatus === 'waiting' && (state === 'running' || rests))
    ? agentLook(agentStatus)
    : machineLook(state)
}

/** The machine's state beside what the agent is up to, where that is not told already. */
export function restBadge(project: Project): Look | null {
  const { state } = project
  const rests = state === 'frozen' || state === 'cold'
  return rests && projectLook(project) !== machineLook(state) ? machineLook(state) : null
}

/** The glyph of a look; `titled` where no word stands beside it. */
export function LookGlyph({ look, titled = false }: { look: Look; titled?: boolean }) {
  return (
    <Glyph
      shape={look.shape}
      tone={look.tone}
      pulse={look.pulse ?? false}
      {...(titled ? { title: look.word } : {})}
    />
  )
}
