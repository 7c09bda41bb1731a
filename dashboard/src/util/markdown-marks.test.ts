import { createElement } from 'react'
import { renderToStaticMarkup } from 'react-dom/server'
import ReactMarkdown from 'react-markdown'
import { expect, test } from 'vitest'
import { marking, type Mark } from './markdown-marks'

/** What stands between « and » is to be marked. */
function drawn(text: string): string {
  const marks: Mark[] = []
  const plain = text.replaceAll(/«([^»]*)»/g, '$1')
  let [at, gone] = [0, 0]
  for (const found of text.matchAll(/«([^»]*)»/g)) {
    const start = found.index - gone
    marks.push({ at, start, end: start + (found[1] ?? '').length })
    at += 1
    gone += 2
  }
  const html = renderToStaticMarkup(
    createElement(ReactMarkdown, { remarkPlugins: [marking(marks)] }, plain),
  )
  return html.replaceAll(/ data-mark="(\d)"/g, '$1')
}

test('what is marked keeps its words, wherever it stands', () => {
  const check = (text: string, html: string) => expect(drawn(text)).toBe(html)
  check('«All tests pass».', '<p><mark0>All tests pass</mark>.</p>')
  check(
    'Done: «tests pass» and «lint is clean», too.',
    '<p>Done: <mark0>tests pass</mark> and <mark1>lint is clean</mark>, too.</p>',
  )
  check(
    '- **«All green»**, see [«tests pass»](/x)',
    '<ul>\n<li><strong><mark0>All green</mark></strong>, see <a href="/x">tests pass</a></li>\n</ul>',
  )
  check(
    '«all **12** tests pass»',
    '<p><mark0>all </mark><strong><mark0>12</mark></strong><mark0> tests pass</mark></p>',
  )
  // Not to be told apart: left as it is.
  check('«`npm test` passes»', '<p><code>npm test</code><mark0> passes</mark></p>')
  check('a \\* b «tests pass»', '<p>a * b tests pass</p>')
  check('```\n«tests pass»\n```', '<pre><code>tests pass\n</code></pre>')
})
