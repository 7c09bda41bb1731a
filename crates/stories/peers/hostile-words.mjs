// Hostile names, texts and terminal escapes in a real dashboard: every place that shows words of the
// agent, of its files and of its database is opened, and nothing of them may run, load or lead
// anywhere but to the web.
import { begin, command, expect, made, signIn, until } from './chromium.mjs'

const { control, project, file, payload } = made
const { browser, page, tell } = await begin()
await browser.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: control })
await browser.addInitScript(() => {
  window.violations = []
  document.addEventListener('securitypolicyviolation', (event) =>
    window.violations.push(`${event.violatedDirective} ${event.blockedURI}`),
  )
})
const asked = []
const dialogs = []
browser.on('request', (request) => asked.push(request.url()))
page.on('dialog', (dialog) => {
  dialogs.push(dialog.message())
  void dialog.dismiss()
})

/** Nothing ran, and nothing is there that would run or call when it is touched. */
async function judge(where) {
  const found = await page.evaluate((own) => {
    const odd = (selector, bad) =>
      [...document.querySelectorAll(selector)].filter(bad).map((each) => each.outerHTML.slice(0, 200))
    return [
      ...(window.ran ?? []).map((name) => `ran: ${name}`),
      ...window.violations.map((words) => `the policy had to stop ${words}`),
      ...odd('a[href]', (a) => !['http:', 'https:', 'mailto:'].includes(a.protocol)),
      ...odd('img', (img) => img.src !== '' && !/^(data:image|blob:)/.test(img.src) && !img.src.startsWith(`${own}/v1/`)),
      ...odd('script', (script) => script.src === '' || new URL(script.src).origin !== own),
      ...odd('iframe, object, embed, base, meta[http-equiv], form[action], [onerror], [onload], [srcdoc]', () => true),
    ]
  }, control)
  expect(found.length === 0, `${where}: ${found.join('\n')}`)
  expect(dialogs.length === 0, `${where}: asked ${dialogs}`)
}
/** The words stand there as words. */
async function shows(where, name) {
  await page.getByText(`push('${name}')`).first().waitFor().catch(() => {
    throw new Error(`${where} does not show ${name}`)
  })
}
const panel = (name) => page.locator('aside, nav').getByText(`push('${name}')`).first()

await tell(async () => {
  await signIn(page)
  await shows('home', 'project')
  await judge('home')

  await page.goto(`${control}/projects/${project}`)
  await page.getByLabel('Message to the agent').first().waitFor()
  for (const name of ['prompt', 'markdown', 'command', 'question', 'option']) await shows('the chat', name)
  await judge('the chat')
  for (const words of ['a link', 'a spaced link', 'a data link', 'named', 'cell']) {
    const text = page.getByText(words, { exact: true }).first()
    if ((await text.count()) > 0) await text.click()
  }
  // Every tool call opened.
  for (const row of await page.getByRole('log').or(page.locator('main')).first().getByRole('button', { expanded: false }).all()) {
    await row.click({ timeout: 2_000 }).catch(() => {})
  }
  await shows('the tools', 'output')
  await judge('the tools')
  await page.getByRole('radio').first().check()
  await page.getByRole('button', { name: 'Answer', exact: true }).click()
  await page.getByText('The end of').nth(1).waitFor()
  await judge('the answer')

  for (const [name, shown] of [['service', 'schedule'], ['integration', 'secret'], ['asset', 'asset']]) {
    await panel(name).click()
    await shows(`the panel of a ${name}`, shown)
    await judge(`the panel of a ${name}`)
    await panel(name).click({ button: 'right' })
    await page.getByRole('menu').waitFor()
    await judge(`the menu of a ${name}`)
    await page.keyboard.press('Escape')
    await page.getByRole('menu').waitFor({ state: 'hidden' })
  }

  await command(page, 'Open files')
  for (const name of [file, 'page.html', 'drawing.svg', 'picture.png']) {
    await page.getByRole('button', { name, exact: true }).first().click()
    await page.getByRole('button', { name: 'Copy path' }).first().waitFor()
    await page.waitForTimeout(200)
    await judge(`the file ${name}`)
  }
  await shows('the files', 'file')
  // Opened by their addresses they are no pages of the dashboard's either.
  for (const name of ['page.html', 'drawing.svg', 'picture.png']) {
    const head = await page.evaluate(
      (url) =>
        fetch(url).then((answer) => [
          answer.headers.get('content-disposition') ?? '',
          answer.headers.get('x-content-type-options') ?? '',
          answer.headers.get('content-security-policy') ?? '',
        ]),
      `/v1/projects/${project}/toft/files/content?path=${name}`,
    )
    expect(head[1] === 'nosniff' && /(^|; )sandbox(;|$)/.test(head[2]), `${name} comes with ${head}`)
    expect(name === 'picture.png' || head[0] === 'attachment', `${name} is not a download`)
  }

  await command(page, 'Open the log')
  await page.waitForTimeout(300)
  await judge('the log')

  await command(page, 'New terminal')
  const terminal = page.locator('.xterm').first()
  await terminal.waitFor()
  await terminal.click()
  await page.evaluate(() => navigator.clipboard.writeText('mine'))
  await terminal.click()
  await page.waitForTimeout(500)
  const title = await page.title()
  await page.keyboard.type('cat /root/escapes\n')
  await page.getByText('end of escapes').first().waitFor()
  const link = page.getByText('an escaped link').first()
  if ((await link.count()) > 0) {
    await link.hover()
    await link.click({ modifiers: ['ControlOrMeta'] })
    await link.click()
  }
  await page.waitForTimeout(300)
  expect((await page.evaluate(() => navigator.clipboard.readText())) === 'mine', 'a terminal wrote the clipboard')
  expect((await page.title()) === title, `a terminal renamed the page to ${await page.title()}`)
  await judge('the terminal')

  await page.getByRole('button', { name: /Commands/ }).click()
  await page.getByPlaceholder('Open, run, or name a new project').fill('Delete project')
  await page.getByRole('option', { name: /Delete project/ }).first().click()
  await page.getByRole('dialog').or(page.getByRole('alertdialog')).first().waitFor()
  await judge('the question before deleting')
  await page.keyboard.press('Escape')
  await page.goto(`${control}/projects/${encodeURIComponent(payload)}`)
  await page.waitForTimeout(500)
  await judge('an address')

  expect(browser.pages().length === 1, `windows: ${browser.pages().map((each) => each.url())}`)
  const away = asked.filter((url) => !url.startsWith(control) && !/^(data|blob):/.test(url))
  expect(away.length === 0, `asked others: ${away}`)

  // The same words do run where text is taken for markup.
  const open = await browser.newPage()
  await open.goto('data:text/html,<p>')
  await open.evaluate((html) => (document.body.innerHTML = html), payload)
  await until('the control', () => open.evaluate(() => window.ran?.includes('control')))
})
