/**
 * Hosts that talk by protocols other than TCP, UDP and ICMP: two with ports (UDP-Lite, SCTP), and some that have none and are told
 * apart by address only (GRE, ESP, a number that means nothing).
 */
import { buildEsp, buildGre, buildIpv4, buildSctp, buildUdpLite } from '../../../src/testing/packets.js'
import * as sctp from '../../../src/stack/wire/sctp.js'
import type { Side } from './addresses.js'
import { DatagramTalk, type Fields } from './datagram-talk.js'
import type { Builder, Shot } from './talk.js'

/** For experiments (RFC 3692). */
const UNKNOWN = 253

/** Datagrams of a protocol with nothing to keep in step. */
export class OtherTalk extends DatagramTalk {
  protected override datagram(_side: Side, fields: Fields, size: number): { note: string; builder: Builder } {
    const { protocol } = this.flow
    // The kernel drops GRE that is shorter than its header with a key.
    const payload = this.dice.bytes(protocol === 'gre' ? Math.max(4, size) : size)
    const note = `${protocol} of ${payload.length} bytes`
    switch (protocol) {
      case 'udplite': {
        const coverage = this.dice.pick([0, 8, 8 + (size >> 1)])
        return { note: `${note}, ${coverage} covered`, builder: (ends) => buildUdpLite({ ...fields, ...ends, payload, coverage }) }
      }
      case 'gre':
        return { note, builder: (ends) => buildGre({ ...fields, ...ends, payload }) }
      case 'esp': {
        const spi = this.dice.between(256, 0xffff)
        return { note, builder: (ends) => buildEsp({ ...fields, ...ends, spi, payload }) }
      }
      default:
        return { note, builder: (ends) => buildIpv4({ ...fields, ...ends, protocol: UNKNOWN, payload }) }
    }
  }

  protected override strange(): Shot {
    const { note, builder } = this.datagram(this.side(), { df: true }, 4)
    return this.shot(this.side(), `${note}, short`, (ends) => [builder(ends)])
  }
}

/** The way of an SCTP association, of which each packet is the next with some luck. */
const WAY: readonly (readonly [side: Side, type: number, name: string])[] = [
  ['lan', sctp.INIT, 'INIT'], ['wan', sctp.INIT_ACK, 'INIT ACK'], ['lan', sctp.COOKIE_ECHO, 'COOKIE ECHO'], ['wan', sctp.COOKIE_ACK, 'COOKIE ACK'],
  ['lan', sctp.DATA, 'DATA'], ['wan', sctp.DATA, 'DATA'], ['lan', sctp.SHUTDOWN, 'SHUTDOWN'], ['wan', sctp.SHUTDOWN_ACK, 'SHUTDOWN ACK'],
  ['lan', sctp.SHUTDOWN_COMPLETE, 'SHUTDOWN COMPLETE'],
]

export class SctpTalk extends DatagramTalk {
  #step = 0
  readonly #tags: Record<Side, number> = { lan: this.dice.between(1, 0x7fffffff), wan: this.dice.between(1, 0x7fffffff) }

  override next(): Shot {
    const [side, type, name] = WAY[this.#step]!
    if (this.dice.chance(25)) return super.next()
    if (this.#step < WAY.length - 1) this.#step++
    return this.#chunk(side, type, name)
  }

  #chunk(side: Side, type: number, name: string): Shot {
    const builder = this.#builder(side, type, this.dice.bytes(20), {})
    return this.passing(side, name, builder)
  }

  /** What a host sends carries the other's tag; an INIT and its answer tell the own one. */
  #builder(side: Side, type: number, filling: Uint8Array, fields: Fields): Builder {
    const value = Uint8Array.from(filling)
    const tag = type === sctp.INIT ? 0 : this.#tags[side === 'lan' ? 'wan' : 'lan']
    if (type === sctp.INIT || type === sctp.INIT_ACK) new DataView(value.buffer).setInt32(0, this.#tags[side])
    return (ends) => buildSctp({ ...fields, ...ends, tag, chunks: [{ type, value }] })
  }

  protected override datagram(side: Side, fields: Fields, size: number): { note: string; builder: Builder } {
    const [type, name] = this.dice.pick([[sctp.DATA, 'DATA'], [sctp.ABORT, 'ABORT'], [sctp.INIT, 'INIT'], [sctp.HEARTBEAT, 'HEARTBEAT'], [sctp.ERROR, 'ERROR']] as const)
    return { note: `SCTP ${name}`, builder: this.#builder(side, type, this.dice.bytes(Math.max(20, size)), fields) }
  }

  protected override strange(): Shot {
    const side = this.side()
    const builder: Builder = (ends) => buildSctp({ ...ends, tag: 1, chunks: [{ type: sctp.DATA, value: new Uint8Array(20) }] })
    return this.shot(side, 'SCTP DATA with a wrong tag', (ends) => [builder(ends)])
  }
}
