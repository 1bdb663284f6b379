/** Where tsnat deliberately does something else than the kernel with the same rules. Data of the test, and of the document. */
import type { RuleCase } from './play.js'
import type { Shot } from './shots.js'

export interface RuleMismatch {
  readonly rules: RuleCase
  readonly shot: Shot
  /** What went into tsnat, as text. */
  readonly sent: string
  /** What came out. */
  readonly kernel: readonly string[]
  readonly tsnat: readonly string[]
  /** Differences met earlier in the case, by id. */
  readonly met: ReadonlySet<string>
}

export interface CounterMismatch {
  /** `table: rule [packets:bytes]` of the kernel, and of tsnat. */
  readonly counter: string
  readonly other: string
  /** All that was sent in the case, as text. */
  readonly sent: readonly string[]
  /** Differences met in the case, by id. */
  readonly met: ReadonlySet<string>
}

export interface RuleDifference {
  readonly id: string
  /** What the kernel does, what tsnat does, and why. */
  readonly kernel: string
  readonly tsnat: string
  readonly why: string
  readonly explains?: (mismatch: RuleMismatch) => boolean
  readonly explainsCounter?: (mismatch: CounterMismatch) => boolean
}

const ERROR = / ICMP (?:3|11)\/\d+ \S+ about \d+ bytes \{/
/** Whether both sent errors only, alike when `change` is done to them. */
const alikeErrors = ({ kernel, tsnat }: RuleMismatch, change: (line: string) => string): boolean =>
  kernel.every((line) => ERROR.test(line)) && kernel.map(change).join() === tsnat.map(change).join()

/** The TOS of the packet itself, not of the one that it quotes. */
const withoutTos = (line: string): string => line.replace(/\} tos 0x[0-9a-f]+, ttl/, '}, ttl')
/** A quoted SYN as it was before the option was added. */
const withoutAddedMss = (line: string): string =>
  line.includes(' <02040218>') ? line.replace(' <02040218>', '').replaceAll(/(?<=about )\d+(?= bytes)|(?<= of )\d+(?=\})/g, (bytes) => String(Number(bytes) - 4)) : line
/** TOS and TTL of what is quoted. */
const withoutQuotedFields = (line: string): string => withoutAddedMss(line).replace(/ <[0-9a-f]+>/, '').replace(/(?: tos 0x[0-9a-f]+)?, ttl \d+ id/, ' id')
const withoutQuotedId = (line: string): string => line.replace(/ id \d+(?! DF)(?= of)/, '')
const withoutSource = (line: string): string => line.replace(/^(lan|wan): .*? >/, '$1:')
const withoutPorts = (line: string): string => line.replaceAll(/:(?:a port of [\d-]+|\d+)/g, '')
const withoutMss = (line: string): string => line.replace(' <02040218>', '').replace(/ of 4[04]\}/, '}').replace(/, ttl \d+/, '')

const packetsOf = (counter: string): number => Number(/\[(\d+):\d+\]$/.exec(counter)?.[1])
/** Whether tsnat has counted less by so many packets at most. */
const isFewer = (kernel: string, tsnat: string, most: number): boolean => {
  const fewer = packetsOf(kernel) - packetsOf(tsnat)
  return fewer > 0 && fewer <= most
}

export const RULE_DIFFERENCES: readonly RuleDifference[] = [
  {
    id: 'own-errors',
    kernel: 'Its ICMP errors have precedence 6 in their TOS',
    tsnat: 'They have the TOS of the packet that they are about',
    why: 'RFC 5508 REQ-10: the DS field is copied',
    explains: (mismatch) => alikeErrors(mismatch, withoutTos),
  },
  {
    id: 'quoted-changes',
    kernel: 'What a rule rejects is quoted as rules and forwarding have changed it until then: TTL, TOS, MSS',
    tsnat: 'It is quoted nearer to how it came',
    why: 'What its sender knows is what it sent',
    explains: (mismatch) => alikeErrors(mismatch, (line) => withoutQuotedFields(withoutTos(line))),
  },
  {
    id: 'new-identification',
    kernel: 'The identification stays that of the sender, so an ICMP error quotes it',
    tsnat: 'What may be fragmented and changes its source gets a new one, which errors quote',
    why: 'RFC 6864 4.1; senders do not look at it',
    explains: (mismatch) => alikeErrors(mismatch, withoutQuotedId),
  },
  {
    id: 'error-sources',
    kernel: 'An ICMP error about a flow with a translated destination comes from the destination that was asked, whoever sent it; other errors of its own come from its own address',
    tsnat: 'A router\'s error comes from the router. Its own come from its own address to the inside, from the one that was asked to the outside',
    why: 'RFC 5508 REQ-4, REQ-5: who sent an error is worth knowing',
    explains: (mismatch) => alikeErrors(mismatch, (line) => withoutSource(withoutQuotedId(withoutQuotedFields(withoutTos(line))))),
  },
  {
    id: 'stored-outcomes',
    kernel: 'A packet that goes no further, as its TTL has run out or it is too big, has counted for the rules of PREROUTING',
    tsnat: 'Of a flow whose outcome is stored it has not',
    why: 'Such packets count for their flow only, once they have been sent; rules take over from there',
    explainsCounter: ({ counter, other, sent }) => isFewer(counter, other, sent.filter((line) => / ttl 1\b|length 1[34]\d\d /.test(line)).length),
  },
  {
    id: 'stray-errors',
    kernel: 'An ICMP error about no flow is INVALID, and passes if no rule drops it',
    tsnat: 'It is dropped before it meets rules',
    why: 'Whom it concerns is not known',
    explains: ({ sent, kernel, tsnat }) => tsnat.length === 0 && ERROR.test(sent) && kernel.every((line) => ERROR.test(line)),
    explainsCounter: ({ counter, other, sent, met }) => met.has('stray-errors') || isFewer(counter, other, sent.filter((line) => ERROR.test(line)).length),
  },
  {
    id: 'told',
    kernel: 'A first packet for which no outside endpoint is free is dropped without a word',
    tsnat: 'Its sender is told, with ICMP 3/13',
    why: 'RFC 5508 REQ-8',
    explains: ({ kernel, tsnat }) => kernel.length === 0 && tsnat.length === 1 && / ICMP 3\/13 /.test(tsnat[0]!),
  },
  {
    id: 'port-clash',
    kernel: 'When the first port of a range of DNAT is taken already for this client, the next one is given',
    tsnat: 'The client gets another port towards the server, as where DNAT names no range',
    why: 'Where a packet goes is decided before it is known which flows there are',
    explains: ({ kernel, tsnat }) => kernel.length === 1 && tsnat.length === 1 && `${kernel[0]}${tsnat[0]}`.includes(':a port of') && withoutPorts(kernel[0]!) === withoutPorts(tsnat[0]!),
    explainsCounter: ({ counter, met }) => met.has('port-clash') && /state \S*SNAT/.test(counter),
  },
  {
    id: 'ttl-0',
    kernel: 'A packet whose TTL rules have lowered to 0 is sent',
    tsnat: 'Its sender is told that the TTL has run out',
    why: 'RFC 1812 5.3.1: nothing leaves with a TTL of 0',
    explains: ({ kernel, tsnat, met }) =>
      (kernel.some((line) => line.includes('(TTL is 0)')) && tsnat.every((line) => line.includes(' ICMP 11/0 '))) || (met.has('ttl-0') && kernel.length === 0),
    // tsnat has no flow of it: what follows asks table nat again.
    explainsCounter: ({ met }) => met.has('ttl-0'),
  },
  {
    id: 'absent-mss',
    kernel: 'TCPMSS adds the option to a SYN that has none, with 536 at most',
    tsnat: 'Such a SYN stays as it is',
    why: 'Without the option the other end sends 536 bytes at most anyway (RFC 9293 3.7.1)',
    explains: ({ kernel, tsnat }) => kernel.map(withoutMss).join() === tsnat.map(withoutMss).join(),
    explainsCounter: ({ counter, other, sent }) =>
      sent.some((line) => / TCP \[S\.?\] .* win \d+ length 0/.test(line)) && (/-m (length|tcpmss) /.test(counter) || packetsOf(counter) === packetsOf(other)),
  },
]
