// The file of keys in a real Chromium: Settings says where a key was found, and follows the file while it is
// looked at. Made by the test: `{hints: [first, last], shots?}`. Prints `break` and `mend` when the test
// shall do that to the file.
import { begin, made, signIn } from './chromium.mjs'

const { link, hints, shots } = made
const { page, tell } = await begin({ strict: true })

await tell(async () => {
  await signIn(page)
  await page.goto(new URL('/settings#providers', link).href)
  const part = page.getByRole('region', { name: 'Providers' })
  const row = part.getByRole('listitem').filter({ hasText: 'Mistral' })
  await row.getByText(`key ${hints[0]} from MISTRAL_API_KEY in keys.env`).waitFor()

  console.log('break')
  const alert = part.getByRole('alert')
  await alert.getByText('The file of keys cannot be read as it is now').waitFor()
  await alert.getByText('The keys that were read from it before count on.').waitFor()
  await row.getByText(hints[0]).waitFor()
  if (shots) await page.screenshot({ path: `${shots}/keys-file.png` })

  console.log('mend')
  await row.getByText(`key ${hints[1]} from MISTRAL_API_KEY in keys.env`).waitFor()
  await alert.waitFor({ state: 'detached' })
})
