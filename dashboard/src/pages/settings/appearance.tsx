// Light, dark or as the system; how much of tool calls a chat shows.
import { server } from '@/api/server'
import { useTheme, type Theme } from '@/stores/theme'
import { useView } from '@/stores/view'
import { Segments } from '@/ui/field'

const THEMES: readonly { value: Theme; label: string }[] = [
  { value: 'system', label: 'As the system' },
  { value: 'light', label: 'Light' },
  { value: 'dark', label: 'Dark' },
]
const DENSITIES = [
  { value: 'quiet', label: 'Least' },
  { value: 'normal', label: 'One line each' },
  { value: 'full', label: 'Opened' },
] as const

export function Appearance() {
  const { theme, setTheme } = useTheme()
  const { density, change } = useView()
  return (
    <div className="flex flex-col gap-4">
      <div className="flex flex-col gap-1">
        <span className="text-sm font-medium text-ink-2">Theme</span>
        <div>
          <Segments
            label="Theme"
            value={theme}
            options={THEMES}
            onChange={(next) => {
              setTheme(next)
              void server.updateSettings({ theme: next }).catch(() => {
                // This browser keeps it; other ones ask again.
              })
            }}
          />
        </div>
      </div>
      <div className="flex flex-col gap-1">
        <span className="text-sm font-medium text-ink-2">Tool calls in chats</span>
        <div>
          <Segments
            label="Tool calls in chats"
            value={density}
            options={DENSITIES}
            onChange={(next) => change({ density: next })}
          />
        </div>
      </div>
    </div>
  )
}
