/**
 * ICMP of a stack: answers to echo requests, errors for what nobody wants, and errors that came, handed to the sockets that they are about.
 *
 * Errors are not sent about errors, fragments, packets to broadcast or multicast addresses, or from addresses that are nobody's (RFC 1812
 * 4.3.2.7), and at a limited rate. They quote as much as fits in 576 bytes.
 */
import type { Slab } from '../../batch.js'
import { ERROR_MAX } from '../../reply.js'
import type { Packet } from '../../parse.js'
import * as checksum from '../../wire/checksum.js'
import * as icmp4 from '../../wire/icmp4.js'
import * as ipv4 from '../../wire/ipv4.js'
import type { DatagramHost } from '../datagram.js'
import { type Arrival, NO_SOCKET } from '../network.js'
import type { PortHash } from '../ports.js'
import { QuotedError, readQuotedError } from '../quoted-error.js'
import { ErrorRate } from './error-rate.js'

const TTL = 64
const DSCP_MASK = 0xfc

/** Multicast, class E and the limited broadcast. */
const isMulticastOrReserved = (address: number): boolean => address >>> 29 === 7

/** Told of an error about a packet that a socket has sent; @param iface number of the interface that it came in by */
export type ErrorHandler = (error: QuotedError, iface: number) => void

export class Icmp {
  readonly #host: DatagramHost
  readonly #rate: ErrorRate
  readonly #error = new QuotedError()
  readonly #handlers: (ErrorHandler | undefined)[] = []
  readonly #answersEchoes: boolean
  #onEchoReply: (slab: Slab, packet: Packet, arrival: Arrival) => void = () => {}
  readonly counters = { echoes: 0, errorsSent: 0, errorsHeld: 0, errorsReceived: 0 }

  /** @param hash keyed, against chosen collisions; @param answersEchoes otherwise somebody else does, below this stack */
  constructor(host: DatagramHost, hash: PortHash, answersEchoes = true) {
    this.#host = host
    this.#answersEchoes = answersEchoes
    this.#rate = new ErrorRate(hash)
  }

  /** Who is told of errors about packets of a protocol. */
  handleErrors(protocol: number, handler: ErrorHandler): void {
    this.#handlers[protocol] = handler
  }

  handleEchoReplies(handler: (slab: Slab, packet: Packet, arrival: Arrival) => void): void {
    this.#onEchoReply = handler
  }

  /** An ICMP message, as `parse` has accepted it, no fragment; its checksum is right. */
  receive(slab: Slab, packet: Packet, arrival: Arrival): void {
    switch (packet.icmpType) {
      case icmp4.ECHO_REQUEST:
        if (this.#answersEchoes) this.#echo(slab, packet)
        return
      case icmp4.ECHO_REPLY:
        this.#onEchoReply(slab, packet, arrival)
        return
      case icmp4.UNREACHABLE:
      case icmp4.TIME_EXCEEDED:
      case icmp4.PARAMETER_PROBLEM:
        this.#receiveError(slab, packet, arrival)
    }
  }

  /** Nobody has the port that a whole datagram was sent to. */
  portUnreachable(slab: Slab, packet: Packet): void {
    this.sendError(slab, packet.at, packet.length, icmp4.UNREACHABLE, icmp4.CODE_PORT)
  }

  /** Nobody takes packets of this protocol. */
  protocolUnreachable(slab: Slab, packet: Packet): void {
    this.sendError(slab, packet.at, packet.length, icmp4.UNREACHABLE, icmp4.CODE_PROTOCOL)
  }

  /** A datagram was not complete in time; its first fragment begins at `at`, `length` bytes of it are there. */
  readonly reassemblyExpired = (slab: Slab, at: number, length: number): void => {
    this.sendError(slab, at, length, icmp4.TIME_EXCEEDED, icmp4.CODE_REASSEMBLY)
  }

  /** Sends an error about the packet at `at`, of which `length` bytes are there, if that may be. It is no later fragment. */
  sendError({ bytes, view }: Slab, at: number, length: number, type: number, code: number): void {
    const { network, timers } = this.#host
    const target = ipv4.source(view, at)
    const source = ipv4.destination(view, at)
    if (target >>> 24 === 0 || isMulticastOrReserved(target) || isMulticastOrReserved(source)) return
    if (network.isBroadcast(target) || network.isBroadcast(source)) return
    const transport = at + ipv4.headerLength(view, at)
    if (ipv4.protocol(view, at) === ipv4.PROTOCOL_ICMP && !icmp4.isQuery(icmp4.type(view, transport))) return
    if (!this.#rate.take(target, timers.now)) {
      this.counters.errorsHeld++
      return
    }
    const quoted = Math.min(length, ERROR_MAX - ipv4.HEADER_MIN - icmp4.ERROR_HEADER)
    const total = ipv4.HEADER_MIN + icmp4.ERROR_HEADER + quoted
    const to = network.reserve(total)
    if (to < 0) return
    const out = network.slab
    ipv4.writeHeader(out.view, to, ipv4.tos(view, at) & DSCP_MASK, total, 0, ipv4.FLAG_DONT_FRAGMENT, TTL, ipv4.PROTOCOL_ICMP, source, target)
    const message = to + ipv4.HEADER_MIN
    out.view.setUint8(message, type)
    out.view.setUint8(message + 1, code)
    out.view.setUint16(message + 2, 0)
    out.view.setUint32(message + 4, 0)
    out.bytes.set(bytes.subarray(at, at + quoted), message + icmp4.ERROR_HEADER)
    icmp4.setChecksum(out.view, message, checksum.finish(checksum.sum(out.bytes, message, icmp4.ERROR_HEADER + quoted, 0)))
    this.counters.errorsSent++
    network.send(to, total, NO_SOCKET)
  }

  /** Answers an echo request with its own bytes, from the address that was asked; never one to a broadcast (RFC 1122 3.2.2.6). */
  #echo({ bytes, view }: Slab, { at, transport, source, destination, length, headerLength }: Packet): void {
    const { network } = this.#host
    if (isMulticastOrReserved(destination) || network.isBroadcast(destination) || isMulticastOrReserved(source) || network.isBroadcast(source)) return
    const payload = length - headerLength
    const total = ipv4.HEADER_MIN + payload
    const to = network.reserve(total)
    if (to < 0) return
    const out = network.slab
    const message = to + ipv4.HEADER_MIN
    ipv4.writeHeader(out.view, to, ipv4.tos(view, at), total, ipv4.identification(view, at), 0, TTL, ipv4.PROTOCOL_ICMP, destination, source)
    out.bytes.set(bytes.subarray(transport, transport + payload), message)
    icmp4.setType(out.view, message, icmp4.ECHO_REPLY)
    const delta = checksum.delta16(icmp4.ECHO_REQUEST << 8, icmp4.ECHO_REPLY << 8)
    icmp4.setChecksum(out.view, message, checksum.update(icmp4.checksum(view, transport), delta))
    this.counters.echoes++
    network.send(to, total, NO_SOCKET)
  }

  #receiveError({ view }: Slab, packet: Packet, arrival: Arrival): void {
    const error = this.#error
    if (!readQuotedError(view, packet, error)) return
    this.counters.errorsReceived++
    this.#handlers[error.protocol]?.(error, arrival.interface)
  }
}
