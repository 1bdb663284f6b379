/** State of the flow that a packet belongs to, and the flow's original and reply tuples. `state` is the short form. */
import { type AddressTest, type BitsTest, type ConntrackMatch, type RangeTest, STATE, STATUS } from '../../model.js'
import { syntaxError } from '../error.js'
import { bang, join, type MatchExtension } from '../extension.js'
import { type Given, invertible, value } from '../options.js'
import {
  addressTest, bitsText, parseBits, parseChoice, parsePortRange, parseProtocol, parseRange, rangeText, shortNetworkText,
} from '../values.js'

const STATUS_WORDS = { NONE: 0, ...STATUS }
const PLAIN_STATE = Object.fromEntries(Object.entries(STATE).filter(([name]) => name !== 'SNAT' && name !== 'DNAT'))

const ADDRESSES = ['ctorigsrc', 'ctorigdst', 'ctreplsrc', 'ctrepldst'] as const
const PORTS = ['ctorigsrcport', 'ctorigdstport', 'ctreplsrcport', 'ctrepldstport'] as const

const address = (given: Given, name: (typeof ADDRESSES)[number]): AddressTest | null => given.read(name, addressTest)
const ports = (given: Given, name: (typeof PORTS)[number]): RangeTest | null =>
  given.read(name, (word, not) => ({ ...parsePortRange(word), not }))

/** The same words are saved and listed, but for the dashes. */
const words = (match: ConntrackMatch, dashes: '--' | ''): string => {
  const say = <T extends { readonly not: boolean }>(test: T | null, name: string, text: (test: T) => string): string | null =>
    test === null ? null : `${bang(test.not)}${dashes}${name} ${text(test)}`
  const saysAddress = (test: AddressTest): string => shortNetworkText(test.address, test.mask)
  const saysStatus = ({ bits }: BitsTest): string => (bits === 0 ? 'NONE' : bitsText(bits, STATUS))
  const saysRange = (test: RangeTest): string => rangeText(test)
  return join(
    say(match.state, 'ctstate', ({ bits }) => bitsText(bits, STATE)),
    say(match.protocol, 'ctproto', ({ number }) => String(number)),
    say(match.originalSource, 'ctorigsrc', saysAddress),
    say(match.originalDestination, 'ctorigdst', saysAddress),
    say(match.replySource, 'ctreplsrc', saysAddress),
    say(match.replyDestination, 'ctrepldst', saysAddress),
    say(match.originalSourcePort, 'ctorigsrcport', saysRange),
    say(match.originalDestinationPort, 'ctorigdstport', saysRange),
    say(match.replySourcePort, 'ctreplsrcport', saysRange),
    say(match.replyDestinationPort, 'ctrepldstport', saysRange),
    say(match.status, 'ctstatus', saysStatus),
    say(match.expire, 'ctexpire', saysRange),
    match.direction !== null && `${dashes}ctdir ${match.direction}`,
  )
}

export const conntrack: MatchExtension<'conntrack'> = {
  name: 'conntrack',
  options: [
    ...['ctstate', 'ctproto', ...ADDRESSES, ...PORTS, 'ctstatus', 'ctexpire'].map((name) => invertible(value(name))),
    value('ctdir'),
  ],
  parse: (given) => {
    if (given.empty) throw syntaxError(given.word, 'conntrack needs at least one of its options', 'such as "--ctstate NEW"')
    return {
      module: 'conntrack',
      state: given.read('ctstate', (word, not) => ({ bits: parseBits(word, 'state', STATE), not })),
      protocol: given.read('ctproto', (word, not) => {
        const number = parseProtocol(word)
        if (number === 0) throw syntaxError(word, 'no flow has protocol 0')
        return { number, not }
      }),
      originalSource: address(given, 'ctorigsrc'),
      originalDestination: address(given, 'ctorigdst'),
      replySource: address(given, 'ctreplsrc'),
      replyDestination: address(given, 'ctrepldst'),
      originalSourcePort: ports(given, 'ctorigsrcport'),
      originalDestinationPort: ports(given, 'ctorigdstport'),
      replySourcePort: ports(given, 'ctreplsrcport'),
      replyDestinationPort: ports(given, 'ctrepldstport'),
      status: given.read('ctstatus', (word, not) => ({ bits: parseBits(word, 'status', STATUS_WORDS), not })),
      expire: given.read('ctexpire', (word, not) => ({ ...parseRange(word, 0, 0xffffffff), not })),
      direction: given.read('ctdir', (word) => parseChoice(word, 'direction', ['ORIGINAL', 'REPLY'])),
    }
  },
  save: (match) => words(match, '--'),
  list: (match) => words(match, ''),
}

export const state: MatchExtension<'state'> = {
  name: 'state',
  options: [invertible(value('state'))],
  parse: (given) => given.need('state', (word, not) => ({ module: 'state', bits: parseBits(word, 'state', PLAIN_STATE), not })),
  save: ({ bits, not }) => `${bang(not)}--state ${bitsText(bits, STATE)}`,
  list: ({ bits, not }) => `${bang(not)}state ${bitsText(bits, STATE)}`,
}
