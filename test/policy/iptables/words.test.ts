import { describe, expect, it } from 'vitest'
import { quote, splitLine } from '../../../src/policy/iptables/words.js'

const texts = (line: string) => {
  const split = splitLine(line, 'file', 1)
  return typeof split === 'number' ? split : split.map(({ text }) => text)
}

describe('words of a line', () => {
  it('are separated by blanks, and kept together by quotes', () => {
    expect(texts('  -A INPUT\t-j  LOG ')).toEqual(['-A', 'INPUT', '-j', 'LOG'])
    expect(texts('--comment "two words" x"y z"w ""')).toEqual(['--comment', 'two words', 'xy zw', ''])
    expect(texts('"a \\" b \\\\ c" d\\e')).toEqual(['a " b \\ c', 'd\\e'])
    expect(texts('')).toEqual([])
  })

  it('know where they stand', () => {
    expect(splitLine(' -A "b c"', 'file', 7)).toEqual([
      { text: '-A', at: { file: 'file', line: 7, column: 2 } }, { text: 'b c', at: { file: 'file', line: 7, column: 5 } },
    ])
  })

  it('tell the column of a quote that is not closed', () => {
    expect(texts('ab "cd')).toBe(4)
    expect(texts('ab "cd\\"')).toBe(4)
  })

  it('come back as they were from quotes', () => {
    for (const text of ['', 'plain-word_1', 'two words', 'a"b', "it's", 'back\\slash', '\\"', 'tab\there', 'ünïcode', '!', '-A']) {
      expect(texts(quote(text))).toEqual([text])
    }
    expect(quote('plain-word_1')).toBe('plain-word_1')
  })
})
