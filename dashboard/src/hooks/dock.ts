// What a panel is told, and how it opens others. Knows nothing of the docking library.
import { createContext, use } from 'react'

type AgentPart = 'permissions' | 'limits' | 'check' | 'skills' | 'tools' | 'extensions'

/** A panel that can be opened. Open ones of the same thing are brought forward instead. */
export type PanelSpec =
  // `fresh`: a conversation of its own, made when the first message is sent.
  | { kind: 'chat'; sessionId?: string; fresh?: boolean }
  | { kind: 'app'; port?: number; title?: string }
  | { kind: 'terminal'; terminalId?: string }
  | { kind: 'files'; path?: string }
  | { kind: 'log'; processId?: string }
  | { kind: 'integration'; id: string }
  // `id`: one to look at. `compare`: several side by side. `fresh`: one is to be asked for.
  | { kind: 'runs'; id?: string; compare?: string; fresh?: boolean }
  | { kind: 'services'; id?: string }
  | { kind: 'checkpoints'; id?: string }
  | { kind: 'machine' }
  // `part`: what is to be in sight.
  | { kind: 'agent'; part?: AgentPart }
  | { kind: 'schedules'; id?: string }
  | { kind: 'network' }
  | { kind: 'cost' }
  // `name`: one that is to be set.
  | { kind: 'secrets'; name?: string }

export type PanelKind = PanelSpec['kind']
type ParamsOf<K extends PanelKind> = Omit<Extract<PanelSpec, { kind: K }>, 'kind'>

export interface PanelProps<K extends PanelKind> {
  panelId: string
  params: ParamsOf<K>
  /** Whether it is on screen (its tab is in front). */
  visible: boolean
  setParams: (params: ParamsOf<K>) => void
  setTitle: (title: string) => void
  close: () => void
}

export type OpenPanel = (spec: PanelSpec, where?: 'beside' | 'new') => void

export const OpenPanelContext = createContext<OpenPanel>(() => {})

export function useOpenPanel(): OpenPanel {
  return use(OpenPanelContext)
}
