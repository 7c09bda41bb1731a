// What a person does to secrets.
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { wordsOf } from '@/api/http'
import { secretsOf, type Binding, type Secret, type SecretList } from '@/api/secrets'
import { toast } from '@/ui/toasts'
import { queries } from './queries'

export function useSecretActions(id: string) {
  const client = useQueryClient()
  const put = (list: SecretList) => {
    client.setQueryData(queries.secrets(id).queryKey, list)
    // What runs with older ones says so.
    void client.invalidateQueries({ queryKey: queries.services(id).queryKey })
  }
  const set = useMutation({
    mutationFn: ({ values, wake }: { values: Readonly<Record<string, string>>; wake: boolean }) =>
      secretsOf(id).set(values, wake),
    // Values are not kept in the page's memory longer than that.
    gcTime: 0,
    onSuccess: (list, { wake }) => {
      put(list)
      if (wake) void client.invalidateQueries({ queryKey: queries.machine(id).queryKey })
    },
  })
  const putOne = useMutation({
    mutationFn: ({
      name,
      value,
      binding,
    }: {
      name: string
      value: string
      binding: Binding | null
    }) => secretsOf(id).put(name, value, binding),
    gcTime: 0,
    onSuccess: put,
  })
  const remove = useMutation({
    mutationFn: (secret: Secret) => secretsOf(id).remove(secret.name),
    onSuccess: (list, { name }) => {
      put(list)
      toast.success(`${name} was deleted`)
    },
    onError: (error, { name }) => toast.error(`${name} was not deleted`, wordsOf(error)),
  })
  return { set, putOne, remove }
}
