// Short news, where nothing is to be pressed: in the middle of the first line. What needs a person stands where they must act, not here.
import { toast as show, Toaster } from 'sonner'
import { Glyph } from './glyph'

export function Toasts() {
  return (
    <Toaster
      position="top-center"
      offset={{ top: 5 }}
      mobileOffset={{ top: 56 }}
      visibleToasts={4}
      gap={8}
      toastOptions={{
        unstyled: true,
        classNames: {
          toast:
            'flex w-[min(356px,calc(100vw-32px))] items-start gap-2.5 rounded-lg border bg-raised px-3 py-2.5 font-sans text-base shadow-float',
          title: 'font-medium break-words',
          description: 'text-ink-2 break-words line-clamp-4',
          icon: 'mt-1 shrink-0',
          content: 'min-w-0',
        },
      }}
      icons={{
        success: <Glyph shape="tick" tone="moss" />,
        info: <Glyph shape="dot" tone="quiet" />,
        warning: <Glyph shape="ask" tone="amber" />,
        error: <Glyph shape="cross" tone="red" />,
      }}
    />
  )
}

const more = (description?: string) => (description ? { description } : {})

export const toast = {
  success: (title: string, description?: string) => show.success(title, more(description)),
  info: (title: string, description?: string) => show.info(title, more(description)),
  warning: (title: string, description?: string) => show.warning(title, more(description)),
  error: (title: string, description?: string) => show.error(title, more(description)),
}
