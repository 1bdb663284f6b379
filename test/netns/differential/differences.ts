/**
 * Where tsnat, set to behave as the kernel's masquerade does, deliberately lets out something else. Data of the differential
 * test, which fails on a difference that is not listed here, and on one that is and never occurs; and of the document.
 */
import { OUTSIDE, OWN_INSIDE, type Side } from './addresses.js'
import { datagramsOf, isFragment } from './datagrams.js'
import { observe, PortNames, type Seen } from './observe.js'
import type { Sequence } from './sequence.js'
import type { Shot } from './talk.js'

/** One step after which not the same came out. */
export interface Mismatch {
  readonly sequence: Sequence
  readonly shot: Shot
  /** What went in, as text. */
  readonly sent: readonly string[]
  /** All that came out. */
  readonly whole: { readonly kernel: readonly Seen[]; readonly tsnat: readonly Seen[] }
  /** What only one of them let out. */
  readonly kernel: readonly Seen[]
  readonly tsnat: readonly Seen[]
  /** Steps before this one, and differences in them, by id. */
  readonly before: readonly Shot[]
  readonly earlier: ReadonlySet<string>
}

type Rest = Pick<Mismatch, 'kernel' | 'tsnat'> & {
  /** What an outside port of the kernel's is called at tsnat, from now on. */
  readonly rename?: readonly [kernel: string, tsnat: string]
}

export interface Difference {
  readonly id: string
  /** What the kernel does, what tsnat does, and why. */
  readonly kernel: string
  readonly tsnat: string
  readonly why: string
  /** What is left of a mismatch that this explains in whole, in part or not at all. */
  readonly explains: (mismatch: Mismatch) => Rest
}

/** A packet that left the gateway with an address of the inside as its source. */
const isLeak = ({ side, line }: Seen): boolean => side === 'wan' && line.startsWith('wan: 10.')

/** An ICMP error that the gateway made, about a packet to itself or one that it did not forward. */
const isOwnError = ({ side, line }: Seen): boolean => {
  if (side === 'lan') return line.startsWith(`lan: ${OWN_INSIDE} > `)
  return line.startsWith(`wan: ${OUTSIDE} > `) && / about \d+ bytes \{/.test(line) && !line.includes(`{${OUTSIDE}`) && !/\{(\S+) > \S+:.*\{/.test(line)
}

/** What the gateway's own sockets, of which there are none, say to somebody outside. */
const isOwnRefusal = (seen: Seen): boolean =>
  seen.line.startsWith(`wan: ${OUTSIDE}:`) && /TCP \[R\.?\] .* win 0 length 0(?: tos 0x[0-9a-f]+)?, ttl 64, id 0 DF$/.test(seen.line)
    || (seen.side === 'wan' && isOwnError(seen) && / ICMP 3\/[23] /.test(seen.line))

const withoutTos = (body: string): string => body.replace(/ tos 0x[0-9a-f]+(?=, ttl \d+$)/, '')
/** The outside port, or its name, of a packet that went out. */
const outsidePort = ({ body }: Seen): string | undefined => /^wan: 203\.0\.113\.1(?::| > \S+ ICMP (?:8|13)\/0 id )(x?\d+'*)/.exec(body)?.[1]
const hasWrongSum = ({ body }: Seen): boolean => /\((TCP|UDP|UDP-Lite|SCTP|ICMP) checksum is wrong/.test(body)

/** Protocols without ports: one inside host at a time for each remote. */
const isByAddress = ({ flows }: Sequence): boolean => ['gre', 'esp', 'unknown'].includes(flows[0]!.protocol)

const identificationOf = ({ bytes }: Seen): number => (bytes[4]! << 8) | bytes[5]!

const without = (list: readonly Seen[], predicate: (seen: Seen) => boolean): Seen[] => list.filter((seen) => !predicate(seen))

/** Takes out pairs, one of each gateway, that are alike in the sense given. */
const pairs = ({ kernel, tsnat }: Rest, alike: (kernel: Seen, tsnat: Seen) => boolean): Rest => {
  const rest = { kernel: [...kernel], tsnat: [...tsnat] }
  for (const one of kernel) {
    const other = rest.tsnat.findIndex((seen) => alike(one, seen))
    if (other < 0) continue
    rest.tsnat.splice(other, 1)
    rest.kernel.splice(rest.kernel.indexOf(one), 1)
  }
  return rest
}

/** Datagrams of one side, put together, with the packets that they were. Outside ports are not told apart. */
const wholes = (sequence: Sequence, side: Side, seen: readonly Seen[]): { body: string | undefined; pieces: Seen[] }[] => {
  const ofSide = seen.filter((one) => one.side === side)
  const names = new PortNames(sequence.flows.map(({ insidePort }) => insidePort))
  return datagramsOf(ofSide.map(({ bytes }) => bytes)).map(({ pieces, whole }) => ({
    body: whole === undefined ? undefined : observe(side, whole, names).body.replaceAll(/(?<=203\.0\.113\.1:|203\.0\.113\.1 > \S+ ICMP \S+ id )[\w']+/g, 'port'),
    pieces: pieces.map((i) => ofSide[i]!),
  }))
}

/** Takes out datagrams that are the same but for how they were cut. */
const sameDatagrams = ({ sequence, whole, kernel, tsnat }: Mismatch): Rest => {
  const gone = new Set<Seen>()
  for (const side of ['lan', 'wan'] as const) {
    const others = wholes(sequence, side, whole.tsnat)
    for (const one of wholes(sequence, side, whole.kernel)) {
      const other = others.findIndex(({ body }) => body !== undefined && body === one.body)
      if (other < 0) continue
      for (const piece of [...one.pieces, ...others[other]!.pieces]) gone.add(piece)
      others.splice(other, 1)
    }
  }
  return { kernel: without(kernel, (seen) => gone.has(seen)), tsnat: without(tsnat, (seen) => gone.has(seen)) }
}

/** A TCP segment that was translated. */
const isTcpOfFlow = (seen: Seen): boolean => !isLeak(seen) && /: (TCP \[|protocol 6 )/.test(seen.line) && !isOwnError(seen)

const withoutTcp = ({ kernel, tsnat }: Rest): Rest => ({ kernel: without(kernel, isTcpOfFlow), tsnat: without(tsnat, isTcpOfFlow) })

/** Steps after which the two gateways have not the same flows any more. */
const PARTING = ['sctp-openers', 'sctp-tags', 'own-flows', 'wrong-checksums', 'fragments-at-once', 'strict-resets', 'strict-openings', 'lost-track', 'reopened', 'begun-anew']
const hasParted = ({ earlier }: Mismatch): boolean => PARTING.some((id) => earlier.has(id))

/** What TCP segments went in, as text: `[S.]` and so on. */
const flagsSent = ({ sent }: Mismatch): string => /TCP \[(\S+)\]/.exec(sent[0] ?? '')?.[1] ?? ''

export const DIFFERENCES: readonly Difference[] = [
  {
    id: 'own-flows',
    kernel: 'It keeps a flow of what it took for its own, which then has the outside port; the inside host gets another',
    tsnat: 'The inside host keeps its port',
    why: 'tsnat has no such flows: somebody outside could choose inside hosts\' ports with them',
    explains: (mismatch) => {
      if (mismatch.shot.side !== 'lan') return mismatch
      // Without ports there is no other.
      if (isByAddress(mismatch.sequence) && mismatch.earlier.has('no-answer') && mismatch.kernel.length === 0) return { kernel: [], tsnat: [] }
      const names = mismatch.kernel.map(outsidePort).filter((name) => name?.startsWith('x'))
      const [kernel, tsnat] = [names[0], mismatch.tsnat.map(outsidePort).find((name) => name !== undefined && !name.startsWith('x'))]
      return kernel === undefined || tsnat === undefined ? mismatch : { ...mismatch, rename: [kernel, tsnat] }
    },
  },
  {
    id: 'no-leak',
    kernel: 'What conntrack calls INVALID (a wrong checksum, a number beyond the window, a reply to nothing) leaves with the address of the inside host',
    tsnat: 'It is dropped',
    why: 'Nothing leaves with an inside address. Nobody outside could answer it',
    explains: ({ kernel, tsnat }) => ({ kernel: without(kernel, isLeak), tsnat }),
  },
  {
    id: 'no-answer',
    kernel: 'What comes from outside and belongs to no flow, or is INVALID, is taken for its own and answered with a RST or ICMP 3/3',
    tsnat: 'It is dropped',
    why: 'Nothing is there that could answer. A RST in answer to a forged or late segment would end the connection at the remote end',
    explains: ({ kernel, tsnat, shot }) => ({ kernel: shot.side === 'wan' ? without(kernel, isOwnRefusal) : kernel, tsnat }),
  },
  {
    id: 'own-errors',
    kernel: 'An ICMP error of its own has a random identification, and precedence 6 in its TOS',
    tsnat: 'It has identification 0 with DF, and the TOS of the packet that it is about',
    why: 'RFC 6864: a datagram that is never fragmented needs no identification. RFC 5508 REQ-10: the DS field is copied',
    explains: (mismatch) => pairs(mismatch, (k, t) => isOwnError(k) && withoutTos(k.body) === withoutTos(t.body)),
  },
  {
    id: 'own-echo',
    kernel: 'Its answer to a ping has a new identification',
    tsnat: 'The answer has the identification of the ping',
    why: 'A ping in fragments is answered fragment by fragment',
    explains: (mismatch) => pairs(mismatch, (k, t) => / ICMP 0\/0 /.test(k.body) && mismatch.shot.side === k.side && k.body === t.body),
  },
  {
    id: 'new-identification',
    kernel: 'The identification stays that of the inside host',
    tsnat: 'What may be fragmented and changes its source gets a new one',
    why: 'RFC 6864 4.1, RFC 7857 10: two inside hosts that use the same number would have their fragments mixed up at the remote',
    explains: (mismatch) => {
      // One number for one: the fragments of a datagram go on having the same.
      const numbers = new Map<number, number>()
      return pairs(mismatch, (k, t) => {
        if (k.side !== 'wan' || mismatch.shot.side !== 'lan' || k.body !== t.body || / DF$/.test(t.line)) return false
        const [before, after] = [identificationOf(k), identificationOf(t)]
        if (!numbers.has(before)) numbers.set(before, after)
        return numbers.get(before) === after
      })
    },
  },
  {
    id: 'fragments-as-they-are',
    kernel: 'A datagram in fragments is put together, translated, and cut again into pieces as long as the longest that came, in order',
    tsnat: 'Each piece is translated as it is, once the first one has come',
    why: 'No memory for whole datagrams, no delay',
    explains: sameDatagrams,
  },
  {
    id: 'fragments-at-once',
    kernel: 'Of a datagram whose fragments do not all come, or contradict each other, nothing leaves',
    tsnat: 'The pieces leave that came before that was known',
    why: 'The same: nothing is put together on the way. The receiver cannot put it together either',
    explains: ({ sequence, whole, kernel, tsnat }) => {
      const parts = (['lan', 'wan'] as const).flatMap((side) => wholes(sequence, side, whole.tsnat)).filter(({ body }) => body === undefined)
      const gone = new Set(parts.flatMap(({ pieces }) => pieces))
      return { kernel, tsnat: without(tsnat, (seen) => gone.has(seen) && isFragment(seen.bytes)) }
    },
  },
  {
    id: 'wrong-checksums',
    kernel: 'Checksums are verified of SCTP and of datagrams in fragments too; what has a wrong one is INVALID',
    tsnat: 'It is translated, and its checksum as wrong as before',
    why: 'No piece alone shows a sum over all of them, and that of SCTP is costly. The receiver verifies them',
    explains: ({ kernel, tsnat }) => ({ kernel, tsnat: without(tsnat, hasWrongSum) }),
  },
  {
    id: 'quoted-checksum',
    kernel: 'An ICMP error that quotes a header with a wrong checksum is translated',
    tsnat: 'It is dropped',
    why: 'RFC 5508 REQ-3a',
    explains: ({ kernel, tsnat }) => ({ kernel: without(kernel, ({ body }) => body.includes('quoted header checksum is wrong')), tsnat }),
  },
  {
    id: 'redirects',
    kernel: 'Redirects about translated flows are dropped',
    tsnat: 'They are translated as other errors are',
    why: 'RFC 5508 REQ-10 allows it. A host obeys only those of its own router (RFC 1122 3.2.2.2)',
    explains: ({ kernel, tsnat }) => ({ kernel, tsnat: without(tsnat, ({ body }) => / ICMP 5\/\d /.test(body)) }),
  },
  {
    id: 'source-quench',
    kernel: 'Source quench is translated as other errors are',
    tsnat: 'It is dropped',
    why: 'RFC 6633: obsolete, and ignored by whoever receives it',
    explains: ({ kernel, tsnat }) => ({ kernel: without(kernel, ({ body }) => / ICMP 4\/0 /.test(body)), tsnat }),
  },
  {
    id: 'obsolete-queries',
    kernel: 'Information and address mask requests (types 15 and 17) are translated as pings are',
    tsnat: 'They are dropped',
    why: 'RFC 6918: obsolete',
    explains: ({ kernel, tsnat }) => ({ kernel: without(kernel, ({ body }) => / ICMP 1[57]\/0 /.test(body)), tsnat }),
  },
  {
    id: 'port-0',
    kernel: 'UDP from port 0 gets another outside port, and its answers are let in',
    tsnat: 'It is dropped',
    why: 'RFC 768: port 0 says that no answer is wanted. A flow would be kept for none',
    explains: ({ kernel, tsnat, sent }) => ({ kernel: sent.some((line) => /^lan: [\d.]+:0 > /.test(line)) ? [] : kernel, tsnat }),
  },
  {
    id: 'told',
    kernel: 'A first packet for which no outside endpoint is free, as GRE or ESP of a second host to the same remote, is dropped without a word',
    tsnat: 'Its sender is told, with ICMP 3/13',
    why: 'RFC 5508 REQ-8',
    explains: ({ shot, kernel, tsnat }) => ({ kernel, tsnat: shot.side === 'lan' ? without(tsnat, (seen) => isOwnError(seen) && / ICMP 3\/13 /.test(seen.body)) : tsnat }),
  },
  {
    id: 'short-quotes',
    kernel: 'An ICMP error that quotes less than 8 bytes behind the header is dropped',
    tsnat: 'It is translated if the quoted protocol has no ports, and dropped otherwise',
    why: 'Addresses are all that is needed of such a quote',
    explains: (mismatch) => ({ kernel: mismatch.kernel, tsnat: isByAddress(mismatch.sequence) ? without(mismatch.tsnat, ({ body }) => body.includes('quoted 24 bytes do not hold')) : mismatch.tsnat }),
  },
  {
    id: 'udplite',
    kernel: "UDP-Lite's checksum is verified as if it were UDP's, so it seems wrong and the packet is INVALID, unless the network card has verified it",
    tsnat: 'It is translated',
    why: 'RFC 3828 3.1',
    explains: ({ sequence, kernel, tsnat }) => ({ kernel, tsnat: sequence.flows[0]!.protocol === 'udplite' ? without(tsnat, (seen) => !isLeak(seen)) : tsnat }),
  },
  {
    id: 'sctp-openers',
    kernel: 'SCTP flows begin with INIT or, for another path of an association, with HEARTBEAT',
    tsnat: 'They begin with INIT, which is never in fragments',
    why: 'RFC 9260 3.3.2: INIT comes alone. A path that an association has added needs its INIT to have come this way',
    explains: ({ sequence, shot, kernel, tsnat }) => {
      const isOther = sequence.flows[0]!.protocol === 'sctp' && /SCTP (HEARTBEAT|INIT .*fragments)/.test(shot.note)
      return isOther && shot.side === 'lan' && tsnat.length === 0 ? { kernel: [], tsnat: [] } : { kernel, tsnat }
    },
  },
  {
    id: 'sctp-tags',
    kernel: 'SCTP with a verification tag that is not that of the association is INVALID, and so is a chunk that does not fit its state',
    tsnat: 'It is translated',
    why: 'The receiver discards it (RFC 9260 8.5); what would end the association with a wrong tag changes nothing here',
    explains: ({ sequence, kernel, tsnat }) => ({ kernel, tsnat: sequence.flows[0]!.protocol === 'sctp' ? without(tsnat, (seen) => !isLeak(seen)) : tsnat }),
  },
  {
    id: 'sctp-fragments',
    kernel: 'SCTP in fragments is translated as a whole',
    tsnat: 'It is dropped where its port changes',
    why: 'Its checksum is a CRC over all of it, which no piece alone lets one mend. SCTP avoids fragments (RFC 9260 6.9)',
    explains: ({ sequence, shot, kernel, tsnat }) =>
      sequence.flows[0]!.protocol === 'sctp' && shot.note.includes('in fragments') && tsnat.length === 0 ? { kernel: [], tsnat } : { kernel, tsnat },
  },
  {
    id: 'strict-resets',
    kernel: 'A RST beyond the window, or before it, is let through where no acknowledgment has been seen yet, and while the connection closes; it ends the flow',
    tsnat: 'It is dropped, and changes nothing',
    why: 'RFC 5961 3.2: its receiver ignores it. Whoever forges one should not end a flow that lives on',
    explains: (mismatch) => ({ tsnat: mismatch.tsnat, kernel: /R/.test(flagsSent(mismatch)) && mismatch.tsnat.length === 0 ? [] : mismatch.kernel }),
  },
  {
    id: 'strict-openings',
    kernel: 'While a connection opens, a SYN/ACK that acknowledges no SYN, or an older one, is let through',
    tsnat: 'It is dropped',
    why: 'RFC 9293 3.10.7.3: it is not acceptable',
    explains: (mismatch) => ({ tsnat: mismatch.tsnat, kernel: flagsSent(mismatch) === 'S.' && mismatch.tsnat.length === 0 ? [] : mismatch.kernel }),
  },
  {
    id: 'lost-track',
    kernel: 'After SYNs from both ends, a SYN with another number, or a segment of the server with an old number before the client has acknowledged anything, it calls INVALID what follows',
    tsnat: 'The connection goes on',
    why: 'RFC 9293: these are valid',
    explains: (mismatch) =>
      mismatch.before.some(({ note }) => /SYN in between|as it opens too|keep-alive|SYN\+ACK in between|^server: (?!SYN).*(again|before the window)$/.test(note)) ? withoutTcp(mismatch) : mismatch,
  },
  {
    id: 'reopened',
    kernel: 'A SYN from outside on the endpoints of a connection that has ended ends its flow, and is refused',
    tsnat: 'It is let in, and begins a new connection',
    why: 'Either end may open a connection anew (RFC 9293 3.10.7.4); the mapping still stands',
    explains: (mismatch) =>
      mismatch.shot.side === 'wan' && flagsSent(mismatch) === 'S' && mismatch.kernel.length === 0 && mismatch.before.some(({ note }) => /FIN|RST/.test(note))
        ? withoutTcp(mismatch)
        : mismatch,
  },
  {
    id: 'begun-anew',
    kernel: 'A SYN after a RST of the other end passes, but segments of the old connection still do',
    tsnat: 'It begins a new connection at once',
    why: 'A RST has ended the old one',
    explains: (mismatch) => {
      const reset = mismatch.before.findIndex(({ note }) => note.includes('RST'))
      const isAnew = reset >= 0 && mismatch.before.slice(reset).some(({ note, side }) => side === 'lan' && /: SYN\b/.test(note))
      return isAnew && mismatch.tsnat.length === 0 ? withoutTcp(mismatch) : mismatch
    },
  },
  {
    id: 'beside-the-window',
    kernel: 'A segment with an old acknowledgment that is beyond the window too is INVALID',
    tsnat: 'It passes, and changes nothing',
    why: 'Its receiver answers it, which tells the sender where the connection is (RFC 9293 3.10.7.4)',
    explains: ({ shot, kernel, tsnat }) => ({ kernel, tsnat: shot.note.includes('what it acknowledges -') ? without(tsnat, isTcpOfFlow) : tsnat }),
  },
  {
    id: 'picked-up',
    kernel: 'Of a connection that is first seen in its middle no numbers are checked',
    tsnat: 'What acknowledges something that was never sent is dropped here too',
    why: 'Only window scales are unknown then',
    explains: (mismatch) => (mismatch.tsnat.length === 0 && /what it acknowledges \d/.test(mismatch.shot.note) ? withoutTcp(mismatch) : mismatch),
  },
  {
    id: 'returned-segments',
    kernel: 'A TCP segment that it does not forward, as its TTL has run out or it is too big, has changed the state of its flow all the same',
    tsnat: 'It changes nothing',
    why: 'It never reaches its receiver',
    explains: (mismatch) =>
      mismatch.sequence.flows[0]!.protocol === 'tcp' && mismatch.before.some(({ note }) => /TTL 1|too big/.test(note)) ? { kernel: [], tsnat: [] } : mismatch,
  },
  {
    id: 'parted',
    kernel: 'After a difference above it may have a flow that tsnat has not, or the other way round',
    tsnat: 'Likewise: what follows is let through by one of the two only',
    why: 'What it lets through is right for the flows that it has',
    explains: (mismatch) => (hasParted(mismatch) ? { kernel: [], tsnat: [] } : mismatch),
  },
]
