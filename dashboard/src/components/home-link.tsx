// The mark at the left end of every page's first line leads home.
import { Link } from '@tanstack/react-router'
import { Mark } from '@/ui/mark'
import { Hint } from '@/ui/tooltip'

export function HomeLink() {
  return (
    <Hint text="All projects">
      <Link
        to="/"
        aria-label="All projects"
        className="flex size-7 items-center justify-center rounded-md text-moss-text hover:bg-hover max-md:size-9"
      >
        <Mark />
      </Link>
    </Hint>
  )
}
