/** The five old names of TOS values (RFC 1349). A name tests or sets six bits. */
import { unknownWord } from './error.js'
import { numberOf, parseMasked } from './values.js'
import type { Word } from './words.js'

const NAMES: Readonly<Record<string, number>> = {
  'Minimize-Delay': 0x10, 'Maximize-Throughput': 0x08, 'Maximize-Reliability': 0x04, 'Minimize-Cost': 0x02, 'Normal-Service': 0x00,
}
const NAMED_BITS = 0x3f

/** `value`, `value/mask`, or a name. */
export const parseTos = (word: Word): { value: number; mask: number } => {
  if (numberOf(word.text.split('/')[0]!) !== undefined) return parseMasked(word, 0xff, 0xff)
  const name = Object.keys(NAMES).find((each) => each.toLowerCase() === word.text.toLowerCase())
  if (name === undefined) throw unknownWord(word, 'TOS', Object.keys(NAMES))
  return { value: NAMES[name]!, mask: NAMED_BITS }
}

export const tosName = (value: number, mask: number): string | undefined =>
  mask === NAMED_BITS ? Object.keys(NAMES).find((name) => NAMES[name] === value) : undefined
