// The widest level that the project may have: the server's, or one that an admin has set for it.
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import type { EgressAnswer, EgressLevel } from '@/api/machine-types'
import { queries } from '@/hooks/queries'
import { Button } from '@/ui/button'
import { Segments } from '@/ui/field'
import { LABEL, LEVELS } from './levels'

const SERVER = 'server'

export function Ceiling({
  egress,
  busy,
  onChange,
}: {
  egress: EgressAnswer
  busy: boolean
  onChange: (ceiling: EgressLevel | null) => void
}) {
  const { data: me } = useQuery(queries.me)
  const [changing, setChanging] = useState(false)
  const isAdmin = me?.user.role === 'owner' || me?.user.role === 'admin'
  const { ceiling, ceilingIsDefault } = egress
  // Nothing is bounded, and there is nobody here who could bound it.
  if (ceiling === 'open' && !isAdmin) return null
  return (
    <div className="mt-1">
      <div className="flex min-h-7 items-center gap-2">
        <p className="text-pretty text-sm text-ink-3">
          Ceiling {ceilingIsDefault ? 'of this server' : 'of this project'}: {LABEL[ceiling]}.
          {!isAdmin && ' An admin may raise it.'}
        </p>
        {isAdmin && !changing && (
          <Button variant="ghost" onClick={() => setChanging(true)}>
            Change the ceiling
          </Button>
        )}
      </div>
      {isAdmin && changing && (
        <Segments
          label="Ceiling of this project"
          value={ceilingIsDefault ? SERVER : ceiling}
          options={[{ value: SERVER, label: 'As the server' }, ...LEVELS]}
          disabled={busy}
          onChange={(value) => onChange(value === SERVER ? null : value)}
        />
      )}
    </div>
  )
}
