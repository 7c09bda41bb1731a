// Says of a project that it is one of several that are compared, and leads back to where that is decided.
import { useNavigate } from '@tanstack/react-router'
import type { Project } from '@/api/types'
import { openIn } from '@/hooks/opening'
import { Button } from '@/ui/button'
import { Strip } from '@/ui/state'

export function CandidateNotice({ project: { candidateOf } }: { project: Project }) {
  const navigate = useNavigate()
  if (!candidateOf) return null
  const { projectId, comparisonId } = candidateOf
  return (
    <Strip
      action={
        <Button
          onClick={() => {
            openIn(projectId, { kind: 'runs', compare: comparisonId })
            void navigate({ to: '/projects/$id', params: { id: projectId } })
          }}
        >
          Back to the comparison
        </Button>
      }
    >
      This is a candidate’s copy of the project: it goes when one is kept, or all are dropped.
    </Strip>
  )
}
