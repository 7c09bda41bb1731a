// A click into an app's frame never reaches this page. When the focus goes there, what floats here
// must close all the same.
import { useEffect } from 'react'

export function useFrameFocus(): void {
  useEffect(() => {
    const onBlur = () => {
      if (document.activeElement instanceof HTMLIFrameElement) {
        document.dispatchEvent(new PointerEvent('pointerdown', { bubbles: true }))
      }
    }
    addEventListener('blur', onBlur)
    return () => removeEventListener('blur', onBlur)
  }, [])
}
