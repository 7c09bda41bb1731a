import { expect, test } from 'vitest'
import { splitMarkdown } from './markdown-blocks'

const texts = (text: string) => splitMarkdown(text).map((block) => block.text.trim())

test('paragraphs are blocks', () => {
  expect(texts('one\ntwo\n\nthree\n')).toEqual(['one\ntwo', 'three'])
})

test('a list with blank lines between its items is one block', () => {
  const list = '- one\n\n  more of one\n\n- two'
  expect(texts(`${list}\n\nafter`)).toEqual([list, 'after'])
  expect(texts('1. one\n\n2. two')).toHaveLength(1)
})

test('blank lines in a fence do not end it', () => {
  const fence = '```ts\nconst a = 1\n\nconst b = 2\n```'
  expect(texts(`before\n\n${fence}\n\nafter`)).toEqual(['before', fence, 'after'])
})

test('a fence that is still open is told apart', () => {
  const blocks = splitMarkdown('text\n\n```sh\nls\n\npwd')
  expect(blocks.map((block) => block.openFence)).toEqual([false, true])
})

test('a longer fence holds a shorter one', () => {
  expect(texts('````md\n```\ninner\n```\n````\n\nafter')).toHaveLength(2)
})

test('blocks keep their place while the text grows, so only the last is drawn again', () => {
  const whole = '# Title\n\nSome words here.\n\n- a\n- b\n\n```js\nx()\n```\n\nEnd of it.'
  let before: { at: number; text: string }[] = []
  for (let length = 1; length <= whole.length; length++) {
    const now = splitMarkdown(whole.slice(0, length))
    // All but the last two of before (a block and the blank line after it) are as they were.
    for (const [index, block] of before.slice(0, -1).entries()) {
      expect(now[index]?.at).toBe(block.at)
    }
    before = now
  }
  const bare = (text: string) => text.replaceAll(/\s/g, '')
  expect(bare(before.map((block) => block.text).join(''))).toBe(bare(whole))
})

test('no text is lost, whatever it is', () => {
  for (const text of [
    '',
    '\n\n',
    'a',
    '```',
    '> q\n\n> r',
    '|a|\n|-|\n|b|\n\nc',
    '~~~\n```\n~~~',
  ]) {
    expect(texts(text).join('').replaceAll(/\s/g, '')).toBe(text.replaceAll(/\s/g, ''))
  }
})
