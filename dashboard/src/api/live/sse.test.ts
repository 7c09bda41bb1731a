import { expect, test } from 'vitest'
import { FrameReader } from './sse'

const text =
  'event: hello\ndata: {"seq":3}\n\n: ping\n\nevent: message_update\r\nid: 4\r\ndata: {"a":"ü"}\r\n\r\nid: 5\ndata: one\ndata:two\n\nevent: nothing\n\n'
const frames = [
  { event: 'hello', id: '', data: '{"seq":3}' },
  { event: 'message_update', id: '4', data: '{"a":"ü"}' },
  { event: 'message', id: '5', data: 'one\ntwo' },
]

test('frames are the same wherever the text is cut', () => {
  for (let cut = 0; cut <= text.length; cut++) {
    const reader = new FrameReader()
    expect([...reader.take(text.slice(0, cut)), ...reader.take(text.slice(cut))]).toEqual(frames)
  }
  const reader = new FrameReader()
  expect([...text].flatMap((char) => reader.take(char))).toEqual(frames)
})

test('a half frame at the end of a line that broke is no frame', () => {
  expect(new FrameReader().take('event: agent_end\nid: 9\ndata: {}\n')).toEqual([])
})
