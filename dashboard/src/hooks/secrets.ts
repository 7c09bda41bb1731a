// What a person does to secrets.
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { wordsOf } from '@/api/http'
import { secretsOf, type Given, type Secret, type SecretList } from '@/api/secrets'
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
    mutationFn: ({ given, wake }: { given: Readonly<Record<string, Given>>; wake: boolean }) =>
      secretsOf(id).set(given, wake),
    // Values are not kept in the page's memory longer than that.
    gcTime: 0,
    onSuccess: (list, { wake }) => {
      put(list)
      if (wake) void client.invalidateQueries({ queryKey: queries.machine(id).queryKey })
    },
  })
  const putOne = useMutation({
    mutationFn: ({ name, given }: { name: string; given: Given }) => secretsOf(id).put(name, given),
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
