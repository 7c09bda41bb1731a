// What was asked for: the person's words, set off by a thin rule as in a conversation.
import { useState } from 'react'
import { Button } from '@/ui/button'

/** A longer prompt is shown to here until all of it is asked for. */
const PROMPT_CHARS = 1200

export function Prompt({ text }: { text: string }) {
  const [all, setAll] = useState(text.length <= PROMPT_CHARS)
  return (
    <div className="border-l-2 pl-3">
      <p className="max-w-[72ch] text-md break-words whitespace-pre-wrap">
        {all ? text : `${text.slice(0, PROMPT_CHARS)}…`}
      </p>
      {!all && (
        <Button variant="ghost" className="mt-1 -ml-2.5" onClick={() => setAll(true)}>
          Show all of it
        </Button>
      )}
    </div>
  )
}
