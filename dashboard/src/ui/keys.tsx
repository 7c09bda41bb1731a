// A shortcut as key caps.
import { caps } from '@/util/keys'

export function Keys({ chord }: { chord: string }) {
  return (
    <kbd className="ml-auto flex max-md:hidden shrink-0 gap-0.5 pl-3 font-sans text-xs text-ink-3">
      {caps(chord).map((cap) => (
        <span key={cap} className="min-w-4 rounded-sm border px-1 text-center leading-[15px]">
          {cap}
        </span>
      ))}
    </kbd>
  )
}
