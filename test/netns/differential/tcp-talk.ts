/**
 * Two TCP hosts that talk sensibly most of the time, and otherwise do what hosts, networks and attackers do: send again, reset,
 * send beyond the window, break checksums, open anew.
 */
import { buildTcp } from '../../../src/testing/packets.js'
import type { PacketOptions } from '../../../src/testing/packets.js'
import * as tcp from '../../../src/stack/wire/tcp.js'
import { type Side, WAN_MTU } from './addresses.js'
import { type Builder, Dice, endsOf, errorAbout, type Flow, fragmentSizes, inFragments, ipFields, payloadSize, type Shot } from './talk.js'

interface Host {
  /** Next sequence number to send. */
  next: number
  /** Window scale, -1 without the option. */
  scale: number
  hasSent: boolean
  isDone: boolean
}

interface Segment {
  flags: number
  sequence: number
  acknowledgment: number
  window: number
  options: Uint8Array
  payload: Uint8Array
}

type Fields = Omit<PacketOptions, 'source' | 'destination'>

const OTHER: Record<Side, Side> = { lan: 'wan', wan: 'lan' }
const WHO: Record<Side, string> = { lan: 'client', wan: 'server' }
/** Of IPv4 and TCP without options. */
const HEADERS = 40
const NOTHING = new Uint8Array(0)

const flagNames = (flags: number): string =>
  ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG'].filter((_, bit) => (flags >>> bit) & 1).join('+') || 'no flags'

export class TcpTalk {
  readonly #dice: Dice
  readonly #flow: Flow
  readonly #index: number
  #hosts!: Record<Side, Host>
  #last: { side: Side; builder: Builder; note: string } | undefined
  #lastPassed: Partial<Record<Side, Builder>> = {}

  constructor(dice: Dice, flow: Flow, index: number) {
    this.#dice = dice
    this.#flow = flow
    this.#index = index
    this.#begin()
  }

  /** The next shot. */
  next(): Shot {
    const { lan, wan } = this.#hosts
    if (!lan.hasSent && this.#dice.chance(90)) return this.#sensible()
    return this.#dice.weighted<() => Shot>([
      [130, () => this.#sensible()],
      [8, () => this.#again()],
      [6, () => this.#reset()],
      [5, () => this.#outOfWindow()],
      [5, () => this.#broken()],
      [5, () => this.#short()],
      [8, () => this.#error()],
      [3, () => this.#synAgain()],
      [3, () => this.#strange()],
      [3, () => this.#keepAlive()],
      [5, () => this.#fragmented()],
      [2, () => this.#stray()],
      [lan.isDone && wan.isDone ? 60 : 0, () => this.#reopen()],
    ])()
  }

  #begin(): void {
    const host = (): Host => ({ next: this.#dice.between(0, 0xffffffff), scale: this.#dice.chance(70) ? this.#dice.between(0, 10) : -1, hasSent: false, isDone: false })
    this.#hosts = { lan: host(), wan: host() }
    this.#last = undefined
    this.#lastPassed = {}
  }

  /** What a host that follows RFC 9293 would send next. */
  #sensible(): Shot {
    const { lan, wan } = this.#hosts
    if (!lan.hasSent) return this.#open('lan', tcp.SYN)
    if (!wan.hasSent) return this.#dice.chance(93) ? this.#open('wan', tcp.SYN | tcp.ACK) : this.#open('wan', tcp.SYN, ', as it opens too')
    const side = this.#dice.pick(['lan', 'wan'] as const)
    const host = this.#hosts[side]
    if (this.#last?.side !== side && this.#last !== undefined && this.#dice.chance(40)) return this.#say(side, tcp.ACK, 0)
    if (host.isDone) return this.#say(side, tcp.ACK, 0)
    if (this.#dice.chance(25)) return this.#say(side, tcp.FIN | tcp.ACK, 0)
    const size = Math.max(1, payloadSize(this.#dice, side))
    return this.#say(side, tcp.ACK | (this.#dice.chance(60) ? tcp.PSH : 0), size)
  }

  #open(side: Side, flags: number, why = ''): Shot {
    return this.#say(side, flags, 0, why)
  }

  /** A segment as the host would send it now, after which it goes on from there. */
  #say(side: Side, flags: number, size: number, why = ''): Shot {
    const segment = this.#segment(side, flags, size)
    const fields = ipFields(this.#dice)
    // What does not fit the WAN comes back; it will be sent again.
    if (fields.df && size + HEADERS > WAN_MTU) return this.#shot(side, segment, `${why}, too big`, false, fields)
    const host = this.#hosts[side]
    host.hasSent = true
    host.next = (host.next + size + (flags & (tcp.SYN | tcp.FIN) ? 1 : 0)) >>> 0
    if (flags & tcp.FIN) host.isDone = true
    return this.#shot(side, segment, why, true, fields)
  }

  #segment(side: Side, flags: number, size: number): Segment {
    const peer = this.#hosts[OTHER[side]]
    return {
      flags,
      sequence: this.#hosts[side].next | 0,
      acknowledgment: flags & tcp.ACK ? peer.next | 0 : 0,
      window: this.#dice.weighted([[6, 65535], [4, this.#dice.between(3000, 30_000)], [flags & tcp.SYN ? 0 : 1, 0]]),
      options: flags & tcp.SYN ? this.#synOptions(side) : NOTHING,
      payload: this.#dice.bytes(size),
    }
  }

  #synOptions(side: Side): Uint8Array {
    const { scale } = this.#hosts[side]
    const options = [2, 4, 0x05, 0xb4]
    if (this.#dice.chance(70)) options.push(1, 1, 4, 2)
    if (scale >= 0) options.push(1, 3, 3, scale)
    return Uint8Array.from(options)
  }

  #builder(segment: Segment, fields: Fields): Builder {
    return (ends) => buildTcp({ ...fields, ...segment, ...ends })
  }

  #shot(side: Side, segment: Segment, why: string, isSensible: boolean, change: Fields = {}): Shot {
    const builder = this.#builder(segment, { ...ipFields(this.#dice), ...change })
    const { flags, payload } = segment
    const note = `${WHO[side]}: ${flagNames(flags)}${payload.length > 0 ? ` and ${payload.length} bytes` : ''}${why}`
    if (isSensible) {
      this.#last = { side, builder, note }
      this.#lastPassed[side] = builder
    }
    return { note, side, flow: this.#index, build: (port) => [builder(endsOf(this.#flow, side, port))] }
  }

  #anySide(): Side {
    return this.#dice.pick(['lan', 'wan'] as const)
  }

  #again(): Shot {
    const last = this.#last
    if (last === undefined) return this.#sensible()
    return { note: `${last.note}, again`, side: last.side, flow: this.#index, build: (port) => [last.builder(endsOf(this.#flow, last.side, port))] }
  }

  #reset(): Shot {
    const side = this.#anySide()
    const place = this.#dice.weighted([[4, 'exact'], [2, 'within the window'], [2, 'before the window'], [1, 'far beyond the window']] as const)
    const shift = { exact: 0, 'within the window': this.#dice.between(1, 400), 'before the window': -this.#dice.between(1, 400), 'far beyond the window': 1 << 29 }[place]
    const segment = this.#segment(side, this.#dice.chance(60) ? tcp.RST | tcp.ACK : tcp.RST, 0)
    segment.sequence = (segment.sequence + shift) | 0
    return this.#shot(side, segment, `, its number ${place}`, false)
  }

  #outOfWindow(): Shot {
    const side = this.#anySide()
    const segment = this.#segment(side, tcp.ACK, this.#dice.between(0, 40))
    const shift = this.#dice.pick([1 << 28, -(1 << 28), 1 << 20, -(1 << 20)])
    if (this.#dice.chance(60)) {
      segment.sequence = (segment.sequence + shift) | 0
      return this.#shot(side, segment, `, its number ${shift} off`, false)
    }
    segment.acknowledgment = (segment.acknowledgment + shift) | 0
    return this.#shot(side, segment, `, what it acknowledges ${shift} off`, false)
  }

  /** The next sensible segment, with a wrong checksum, so that it is sent again later. */
  #broken(): Shot {
    const corrupt = this.#dice.chance(80) ? ('transport' as const) : ('header' as const)
    return this.#withoutEffect({ corrupt }, `, ${corrupt} checksum wrong`)
  }

  #short(): Shot {
    return this.#withoutEffect({ ttl: 1 }, ', TTL 1')
  }

  #withoutEffect(change: Fields, why: string): Shot {
    const { lan, wan } = this.#hosts
    const side: Side = !lan.hasSent ? 'lan' : !wan.hasSent ? 'wan' : this.#anySide()
    const flags = !lan.hasSent ? tcp.SYN : !wan.hasSent ? tcp.SYN | tcp.ACK : tcp.ACK
    const size = (flags & tcp.SYN) === 0 ? this.#dice.between(0, 100) : 0
    return this.#shot(side, this.#segment(side, flags, size), why, false, change)
  }

  #error(): Shot {
    const about = this.#anySide()
    const builder = this.#lastPassed[about] ?? this.#lastPassed[OTHER[about]]
    if (builder === undefined) return this.#sensible()
    return errorAbout(this.#dice, this.#flow, this.#index, this.#lastPassed[about] === undefined ? OTHER[about] : about, builder)
  }

  #synAgain(): Shot {
    const side = this.#dice.chance(70) ? 'lan' : 'wan'
    const segment = this.#segment(side, this.#dice.chance(70) ? tcp.SYN : tcp.SYN | tcp.ACK, 0)
    segment.sequence = (segment.sequence + this.#dice.between(100_000, 1 << 28)) | 0
    return this.#shot(side, segment, ' in between', false)
  }

  #strange(): Shot {
    const side = this.#anySide()
    const flags = this.#dice.pick([0, tcp.FIN, tcp.SYN | tcp.FIN, tcp.SYN | tcp.RST, tcp.FIN | tcp.PSH | tcp.URG, tcp.RST | tcp.FIN | tcp.ACK, tcp.PSH, 0xff])
    return this.#shot(side, this.#segment(side, flags, 0), '', false)
  }

  #keepAlive(): Shot {
    const side = this.#anySide()
    const segment = this.#segment(side, tcp.ACK, this.#dice.between(0, 1))
    segment.sequence = (segment.sequence - 1) | 0
    return this.#shot(side, segment, ' as keep-alive', false)
  }

  #fragmented(): Shot {
    const side = this.#anySide()
    if (!this.#hosts.wan.hasSent) return this.#sensible()
    const { payload, mtu } = fragmentSizes(this.#dice, side)
    const segment = this.#segment(side, tcp.ACK | tcp.PSH, payload)
    const whole = this.#builder(segment, ipFields(this.#dice, true))
    const { note, split } = inFragments(this.#dice, whole, mtu)
    if (!note.includes('lost') && !note.includes('overlap')) this.#hosts[side].next = (this.#hosts[side].next + payload) >>> 0
    return { note: `${WHO[side]}: ${payload} bytes ${note}`, side, flow: this.#index, build: (port) => split(endsOf(this.#flow, side, port)) }
  }

  /** From outside, to where nobody waits for it: another port of the gateway, or another sender. */
  #stray(): Shot {
    const isStranger = this.#dice.chance(50)
    const segment = this.#segment('wan', this.#dice.pick([tcp.SYN, tcp.SYN | tcp.ACK, tcp.ACK, tcp.RST]), 0)
    const builder = this.#builder(segment, ipFields(this.#dice))
    const build = (port: number): Uint8Array[] => {
      const ends = endsOf(this.#flow, 'wan', port)
      return [builder(isStranger ? { ...ends, source: this.#flow.stranger } : { ...ends, destinationPort: port ^ 0x0202 })]
    }
    return { note: `${isStranger ? 'a stranger' : 'server, to another port'}: ${flagNames(segment.flags)}`, side: 'wan', flow: this.#index, build }
  }

  /** The same ports, a new connection. */
  #reopen(): Shot {
    const before = this.#hosts.lan.next
    this.#begin()
    this.#hosts.lan.next = (before + this.#dice.between(1, 1 << 24)) >>> 0
    return this.#open('lan', tcp.SYN, ', the same ports once more')
  }
}
