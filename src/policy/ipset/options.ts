/** Options behind the type of a new set, and behind an element. */
import { ELEMENT_KINDS, LIST_KIND, type SetKind } from '../sets/edits.js'
import { invalidError, refusedError, syntaxError, unknownWord } from './error.js'
import type { HashOptions, ListOptions } from './state.js'
import { parseAddress, parseNumber } from './values.js'
import type { Word } from './words.js'
import { maskOf } from '../../stack/wire/address.js'

/** Seconds. In milliseconds it is just below 2^31. */
export const TIMEOUT_MAX = 2147483
const U32 = 0xffffffff
const HASH_SIZE = 1024
const HASH_SIZE_MIN = 64
const MAX_ELEMENTS = 65536
const BUCKET_SIZE = 12
const BUCKET_SIZE_MIN = 2
const LIST_SIZE = 8
const LIST_SIZE_MIN = 4
const COMMENT_MAX = 255

/** Names that older releases gave to the same kinds. */
const OLD_NAMES: Readonly<Record<string, SetKind>> = { iphash: 'hash:ip', nethash: 'hash:net', ipporthash: 'hash:ip,port', setlist: LIST_KIND }
const KINDS: readonly SetKind[] = [...ELEMENT_KINDS, LIST_KIND]
const OTHER_KINDS = [
  'bitmap:ip', 'bitmap:ip,mac', 'bitmap:port', 'hash:mac', 'hash:ip,mac', 'hash:ip,mark', 'hash:net,net', 'hash:net,port', 'hash:ip,port,ip',
  'hash:ip,port,net', 'hash:net,port,net',
]

export const parseKind = (word: Word): SetKind => {
  const name = Object.hasOwn(OLD_NAMES, word.text) ? OLD_NAMES[word.text]! : word.text
  const kind = KINDS.find((each) => each === name)
  if (kind !== undefined) return kind
  if (OTHER_KINDS.includes(name)) throw refusedError(word, `sets of type ${name} are not taken`, `one of: ${KINDS.join(', ')}`)
  throw unknownWord(word, 'type of set', KINDS)
}

/** Words that come one after the other, some of them with a value. */
class Options {
  readonly #words: readonly Word[]
  readonly #seen = new Set<string>()
  #at = 0

  constructor(words: readonly Word[]) {
    this.#words = words
  }

  /** The next option, one of `known`; undefined at the end. None stands twice, but for flags. */
  next(known: readonly string[], flags: readonly string[]): Word | undefined {
    const word = this.#words[this.#at]
    if (word === undefined) return undefined
    this.#at++
    const name = word.text
    if (SKB.includes(name)) throw refusedError(word, `"${name}" is not taken: packets carry no such information in tsnat`)
    if (!known.includes(name)) throw unknownWord(word, 'option', known)
    if (this.#seen.has(name) && !flags.includes(name)) throw syntaxError(word, `"${name}" stands twice`, 'once is enough')
    this.#seen.add(name)
    return word
  }

  value(option: Word): Word {
    const word = this.#words[this.#at++]
    if (word === undefined) throw syntaxError(option, `"${option.text}" needs a value`)
    return word
  }
}

const SKB = ['skbinfo', 'skbmark', 'skbprio', 'skbqueue']
const FLAGS = ['counters', 'comment', 'forceadd', 'nomatch', 'wildcard', '-4']

const parseTimeout = (word: Word): number => parseNumber(word, 'timeout', 0, TIMEOUT_MAX)

const powerOfTwo = (value: number, min: number): number => {
  let size = min
  while (size < value) size *= 2
  return size
}

const parseFamily = (word: Word): void => {
  if (word.text === 'inet' || word.text === 'ipv4') return
  if (word.text === 'inet6' || word.text === 'ipv6') throw refusedError(word, 'sets of IPv6 addresses are not taken', 'family inet')
  throw unknownWord(word, 'family', ['inet'])
}

/** Even, as in the kernel. */
const parseBucketSize = (word: Word): number => {
  const size = parseNumber(word, 'bucketsize', 0, 255)
  return Math.min(BUCKET_SIZE, Math.max(BUCKET_SIZE_MIN, size + (size % 2)))
}

const parseBitmask = (word: Word): number => {
  const mask = parseAddress(word, word.text)
  if (mask === 0) throw syntaxError(word, 'a bitmask without a bit leaves nothing of an address', 'for example 255.255.255.0')
  return mask
}

const COMMON_OPTIONS = ['timeout', 'counters', 'comment', ...SKB.slice(0, 1)]
const HASH_OPTIONS = ['family', '-4', '-6', 'hashsize', 'maxelem', 'bucketsize', 'initval', 'forceadd', ...COMMON_OPTIONS]
const HOST_OPTIONS = ['netmask', 'bitmask', ...HASH_OPTIONS]

/** @param random gives the seed if the words do not: 32 bits */
export const parseHashOptions = (kind: SetKind, words: readonly Word[], random: () => number): HashOptions => {
  const options = new Options(words)
  const known = kind === 'hash:ip' || kind === 'hash:ip,port' ? HOST_OPTIONS : HASH_OPTIONS
  const parsed = {
    timeout: null as number | null, counters: false, comment: false, hashSize: HASH_SIZE, maxElements: MAX_ELEMENTS,
    netmask: null as number | null, bitmask: null as number | null, forceAdd: false, bucketSize: BUCKET_SIZE, initval: -1,
  }
  for (let option = options.next(known, FLAGS); option !== undefined; option = options.next(known, FLAGS)) {
    switch (option.text) {
      case 'family': parseFamily(options.value(option)); break
      case '-6': throw refusedError(option, 'sets of IPv6 addresses are not taken', 'family inet')
      case 'hashsize': parsed.hashSize = powerOfTwo(parseNumber(options.value(option), 'hashsize', 0, 2 ** 31), HASH_SIZE_MIN); break
      case 'maxelem': parsed.maxElements = parseNumber(options.value(option), 'maxelem', 0, U32); break
      case 'bucketsize': parsed.bucketSize = parseBucketSize(options.value(option)); break
      case 'initval': parsed.initval = parseNumber(options.value(option), 'initval', 0, U32); break
      case 'netmask': parsed.netmask = parseNumber(options.value(option), 'netmask', 1, 32); break
      case 'bitmask': parsed.bitmask = parseBitmask(options.value(option)); break
      case 'timeout': parsed.timeout = parseTimeout(options.value(option)); break
      case 'forceadd': parsed.forceAdd = true; break
      case 'counters': parsed.counters = true; break
      case 'comment': parsed.comment = true; break
    }
    if (parsed.netmask !== null && parsed.bitmask !== null) throw syntaxError(option, 'netmask and bitmask exclude each other')
  }
  if (parsed.netmask === 32) parsed.netmask = null
  if (parsed.bitmask === -1) parsed.bitmask = null
  if (parsed.initval < 0) parsed.initval = random() >>> 0
  return parsed
}

export const parseListOptions = (words: readonly Word[]): ListOptions => {
  const options = new Options(words)
  const known = ['size', ...COMMON_OPTIONS]
  const parsed = { timeout: null as number | null, counters: false, comment: false, size: LIST_SIZE }
  for (let option = options.next(known, FLAGS); option !== undefined; option = options.next(known, FLAGS)) {
    switch (option.text) {
      case 'size': parsed.size = Math.max(LIST_SIZE_MIN, parseNumber(options.value(option), 'size', 0, U32)); break
      case 'timeout': parsed.timeout = parseTimeout(options.value(option)); break
      case 'counters': parsed.counters = true; break
      case 'comment': parsed.comment = true; break
    }
  }
  return parsed
}

/** Bits of an address that count in a set. */
export const addressMask = ({ netmask, bitmask }: HashOptions): number => bitmask ?? (netmask === null ? -1 : maskOf(netmask))

/** What stands behind an element. Null: not given. */
export interface ElementOptions {
  readonly timeout: number | null
  readonly packets: number | null
  readonly bytes: number | null
  readonly comment: string | null
  readonly nomatch: boolean
  readonly wildcard: boolean
  /** Where in a list. */
  readonly before: Word | null
  readonly after: Word | null
}

const parseComment = (word: Word): string | null => {
  if (Buffer.byteLength(word.text) > COMMENT_MAX) throw syntaxError(word, `the comment is ${Buffer.byteLength(word.text)} bytes long`, `at most ${COMMENT_MAX} bytes`)
  if (/["\n\r\0]/.test(word.text)) throw syntaxError(word, 'a comment has neither quotes nor line breaks', 'leave them out')
  return word.text === '' ? null : word.text
}

const SET_OPTION_OF = { timeout: 'timeout', packets: 'counters', bytes: 'counters', comment: 'comment' } as const

/** @param verb what is done to the element: only adding takes all options */
export const parseElementOptions = (
  verb: 'add' | 'del' | 'test', kind: SetKind, set: HashOptions | ListOptions, words: readonly Word[],
): ElementOptions => {
  const isNet = kind === 'hash:net' || kind === 'hash:net,iface'
  const places = kind === LIST_KIND ? ['before', 'after'] : []
  const flags = [...(isNet && verb !== 'del' ? ['nomatch'] : []), ...(kind === 'hash:net,iface' && verb === 'add' ? ['wildcard'] : [])]
  const values = verb === 'add' ? Object.keys(SET_OPTION_OF) : []
  const known = [...values, ...flags, ...places, ...(verb === 'add' ? SKB.slice(1) : [])]
  const parsed = {
    timeout: null as number | null, packets: null as number | null, bytes: null as number | null, comment: null as string | null,
    nomatch: false, wildcard: false, before: null as Word | null, after: null as Word | null,
  }
  const options = new Options(words)
  for (let option = options.next(known, FLAGS); option !== undefined; option = options.next(known, FLAGS)) {
    const needed = (SET_OPTION_OF as Readonly<Record<string, 'timeout' | 'counters' | 'comment' | undefined>>)[option.text]
    if (needed !== undefined && (set[needed] === null || set[needed] === false)) {
      throw invalidError(option, `"${option.text}" cannot be given: the set was created without "${needed}"`)
    }
    switch (option.text) {
      case 'timeout': parsed.timeout = parseTimeout(options.value(option)); break
      case 'packets': parsed.packets = parseNumber(options.value(option), 'packets', 0, Number.MAX_SAFE_INTEGER); break
      case 'bytes': parsed.bytes = parseNumber(options.value(option), 'bytes', 0, Number.MAX_SAFE_INTEGER); break
      case 'comment': parsed.comment = parseComment(options.value(option)); break
      case 'nomatch': parsed.nomatch = true; break
      case 'wildcard': parsed.wildcard = true; break
      case 'before': parsed.before = options.value(option); break
      case 'after': parsed.after = options.value(option); break
    }
    if (parsed.before !== null && parsed.after !== null) throw syntaxError(option, '"before" and "after" exclude each other')
  }
  return parsed
}
