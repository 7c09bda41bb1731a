// What a person does to schedules.
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { wordsOf } from '@/api/http'
import { machineOf } from '@/api/machine'
import type { Schedule, ScheduleDraft } from '@/api/machine-types'
import { toast } from '@/ui/toasts'
import { queries } from './queries'

export function useScheduleActions(id: string) {
  const client = useQueryClient()
  const { queryKey } = queries.schedules(id)
  const change = (next: (list: Schedule[]) => Schedule[]) => {
    client.setQueryData<Schedule[]>(queryKey, (list) => list && next(list))
    void client.invalidateQueries({ queryKey })
  }
  const put = (made: Schedule) =>
    change((list) =>
      list.some((each) => each.id === made.id)
        ? list.map((each) => (each.id === made.id ? made : each))
        : [...list, made],
    )
  const save = useMutation({
    mutationFn: ({ old, draft }: { old: string | null; draft: Partial<ScheduleDraft> }) =>
      old === null
        ? machineOf(id).addSchedule({ enabled: true, ...draft } as ScheduleDraft)
        : machineOf(id).changeSchedule(old, draft),
    onSuccess: put,
  })
  const enable = useMutation({
    mutationFn: ({ schedule, enabled }: { schedule: Schedule; enabled: boolean }) =>
      machineOf(id).changeSchedule(schedule.id, { enabled }),
    onSuccess: put,
    onError: (error) => toast.error('It was not changed', wordsOf(error)),
  })
  const remove = useMutation({
    mutationFn: (schedule: Schedule) => machineOf(id).removeSchedule(schedule.id),
    onSuccess: (_, gone) => {
      change((list) => list.filter((each) => each.id !== gone.id))
      toast.success(`${gone.name} was deleted`)
    },
    onError: (error) => toast.error('It was not deleted', wordsOf(error)),
  })
  const run = useMutation({
    mutationFn: (schedule: Schedule) => machineOf(id).runSchedule(schedule.id),
    onSuccess: ({ outcome, reason, waiting }, { id: schedule, name }) => {
      if (outcome !== 'running') toast.error(`${name} was not run`, reason ?? outcome)
      else toast.info(waiting ? `${name} waits for the end of the one before` : `${name} runs`)
      void client.invalidateQueries({ queryKey: queries.firings(id, schedule).queryKey })
      void client.invalidateQueries({ queryKey: queries.machine(id).queryKey })
    },
    onError: (error, { name }) => toast.error(`${name} was not run`, wordsOf(error)),
  })
  return { save, enable, remove, run }
}
