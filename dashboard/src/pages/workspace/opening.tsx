// The workspace while it opens: its frame stands at once, so that nothing jumps when the rest comes.
import { HomeLink } from '@/components/home-link'
import { useView } from '@/stores/view'
import { Skeleton } from '@/ui/state'

export function Opening({ name, words }: { name?: string; words: string }) {
  const sidebar = useView((state) => state.sidebar)
  return (
    <div className="flex h-full flex-col">
      <header className="flex h-10 shrink-0 items-center gap-1 border-b px-2 max-md:h-12">
        <HomeLink />
        {name && <h1 className="truncate px-1.5 font-semibold">{name}</h1>}
      </header>
      <div className="flex min-h-0 grow">
        {sidebar && <div className="w-58 shrink-0 border-r max-md:hidden" />}
        <main className="min-w-0 grow bg-surface p-6">
          <Skeleton words={words} />
        </main>
      </div>
    </div>
  )
}
