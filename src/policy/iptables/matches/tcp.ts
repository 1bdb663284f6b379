/** Ports, flags and options of TCP. */
import { type MaskedTest, TCP_FLAGS } from '../../model.js'
import { syntaxError } from '../error.js'
import { bang, join, type MatchExtension, onlyFor } from '../extension.js'
import { flag, type Given, invertible, pair, value } from '../options.js'
import { bitsText, parseBits, parseNumber } from '../values.js'
import { givenPorts, listPorts, PORT_OPTIONS, savePorts } from './ports.js'

const BITS = Object.fromEntries(TCP_FLAGS.map((name, bit) => [name, 1 << bit]))
const WORDS = { ...BITS, ALL: 0x3f, NONE: 0 }
/** FIN, SYN, RST, ACK of which only SYN is set. */
const SYN: Omit<MaskedTest, 'not'> = { mask: 0x17, value: 0x02 }

const flagsText = (bits: number): string => (bits === 0 ? 'NONE' : bitsText(bits, BITS))
const flagsHex = (bits: number): string => `0x${bits.toString(16).toUpperCase().padStart(2, '0')}`

const givenFlags = (given: Given): MaskedTest | null => {
  const syn = given.get('syn')
  const flags = given.get('tcp-flags')
  if (syn !== null && flags !== null) throw syntaxError(flags.word, '"--syn" and "--tcp-flags" exclude each other')
  if (syn !== null) return { ...SYN, not: syn.not }
  if (flags === null) return null
  const [mask, compare] = flags.args
  return { mask: parseBits(mask!, 'TCP flag', WORDS), value: parseBits(compare!, 'TCP flag', WORDS), not: flags.not }
}

export const tcp: MatchExtension<'tcp'> = {
  name: 'tcp',
  options: [...PORT_OPTIONS, invertible(flag('syn')), invertible(pair('tcp-flags')), invertible(value('tcp-option'))],
  parse: (given) => ({
    module: 'tcp',
    source: givenPorts(given, 'sport'),
    destination: givenPorts(given, 'dport'),
    option: given.read('tcp-option', (word, not) => ({ number: parseNumber(word, 1, 255), not })),
    flags: givenFlags(given),
  }),
  save: ({ source, destination, option, flags }) => join(
    savePorts(source, 'sport'),
    savePorts(destination, 'dport'),
    option !== null && `${bang(option.not)}--tcp-option ${option.number}`,
    flags !== null && `${bang(flags.not)}--tcp-flags ${flagsText(flags.mask)} ${flagsText(flags.value)}`,
  ),
  list: ({ source, destination, option, flags }, numeric) => {
    const text = numeric ? flagsHex : flagsText
    return join(
      'tcp',
      listPorts(source, 'spt', 'tcp', numeric),
      listPorts(destination, 'dpt', 'tcp', numeric),
      option !== null && `option=${option.not ? '!' : ''}${option.number}`,
      flags !== null && `flags:${flags.not ? '!' : ''}${text(flags.mask)}/${text(flags.value)}`,
    )
  },
  check: (_, where) => onlyFor('-m tcp', where, { tcp: 6 }),
}
