/**
 * ARP for addresses that the gateway alone has (RFC 826): answers who asks for them, and finds out neighbours' Ethernet
 * addresses. Questions are repeated each second, three times, then the neighbour has failed. One that was found is asked
 * again every half minute, as it may have gone or changed without a word (RFC 1122 2.3.2.1).
 *
 * Frames are made in a small region of the slab and sent at once; there are few of them.
 */
import { Batch, type Region, type Slab } from './batch.js'
import type { ArpReceiver, PacketDevice } from './device/packet.js'
import * as arp from './wire/arp.js'
import * as ethernet from './wire/ethernet.js'
import * as vnet from './wire/vnet.js'

const TRIES = 3
const INTERVAL = 1000
/** Milliseconds after which a neighbour that was found is asked again. */
const CONFIRM = 30_000
const BROADCAST_HIGH = 0xffff
const BROADCAST_LOW = -1
/** Bytes that the endpoint needs in the slab. */
export const ARP_REGION = 128

/** Where frames come from and go to. */
export type ArpLink = Pick<PacketDevice, 'arp' | 'sendFrames'>

export interface ArpListener {
  /** Somebody, asked for or not, told its Ethernet address. */
  onNeighbour(address: number, high: number, low: number): void
  /** Nobody answered for the address. */
  onSilence(address: number): void
}

export class ArpEndpoint implements ArpReceiver {
  readonly #slab: Slab
  readonly #at: number
  readonly #batch = new Batch(1)
  readonly #mac: { high: number; low: number }
  readonly #listener: ArpListener
  readonly #pending = new Map<number, { tries: number; next: number }>()
  /** Those that were asked for and found, with the time to ask again; soonest first. */
  readonly #found = new Map<number, number>()
  /** Milliseconds, as last told. */
  #now = 0
  /** When the next question is due. */
  #due = Infinity
  readonly #link: ArpLink
  readonly #addresses: ReadonlySet<number>
  /** In whose name questions are asked. */
  readonly #own: number

  constructor(slab: Slab, region: Region, link: ArpLink, mac: { high: number; low: number }, addresses: readonly number[], listener: ArpListener) {
    this.#slab = slab
    this.#at = (region.start + 127) & ~63
    this.#link = link
    this.#mac = mac
    this.#addresses = new Set(addresses)
    this.#own = addresses[0] ?? 0
    this.#listener = listener
    link.arp = this
  }

  /** Tells the link that the addresses are here (RFC 5227 3), so that caches of a predecessor are corrected. */
  announce(): void {
    for (const address of this.#addresses) this.#send(arp.REQUEST, BROADCAST_HIGH, BROADCAST_LOW, address, 0, 0, address)
  }

  /** Begins to ask for an address. @param now milliseconds */
  ask(address: number, now: number): void {
    this.#now = now
    if (this.#pending.has(address)) return
    this.#found.delete(address)
    // Nothing but the question: whoever asks is in the middle of a packet and must not be told of another neighbour's silence.
    this.#pending.set(address, { tries: 1, next: now + INTERVAL })
    this.#due = Math.min(this.#due, now + INTERVAL)
    this.#question(address)
  }

  /** Repeats questions that are due and gives up the others. Costs one comparison while none is. */
  tick(now: number): void {
    this.#now = now
    if (now < this.#due) return
    for (const [address, confirm] of this.#found) {
      if (confirm > now) break
      this.ask(address, now)
    }
    for (const [address, question] of this.#pending) {
      if (question.next > now) continue
      if (question.tries === TRIES) {
        this.#pending.delete(address)
        this.#listener.onSilence(address)
        continue
      }
      question.tries++
      question.next = now + INTERVAL
      this.#question(address)
    }
    this.#due = this.#found.values().next().value ?? Infinity
    for (const { next } of this.#pending.values()) this.#due = Math.min(this.#due, next)
  }

  receiveArp(slab: Slab, at: number, length: number): void {
    const { view } = slab
    if (!arp.isEthernetIpv4(view, at, length)) return
    const sender = arp.senderIp(view, at)
    const high = arp.senderMacHigh(view, at)
    const low = arp.senderMacLow(view, at)
    if (this.#pending.delete(sender) || this.#found.delete(sender)) this.#isFound(sender)
    this.#listener.onNeighbour(sender, high, low)
    const wanted = arp.targetIp(view, at)
    if (arp.operation(view, at) === arp.REQUEST && this.#addresses.has(wanted) && sender !== wanted) {
      this.#send(arp.REPLY, high, low, wanted, high, low, sender)
    }
  }

  #isFound(address: number): void {
    this.#found.set(address, this.#now + CONFIRM)
    this.#due = Math.min(this.#due, this.#now + CONFIRM)
  }

  #question(address: number): void {
    this.#send(arp.REQUEST, BROADCAST_HIGH, BROADCAST_LOW, this.#own, 0, 0, address)
  }

  #send(operation: number, toHigh: number, toLow: number, senderIp: number, targetHigh: number, targetLow: number, targetIp: number): void {
    const { view } = this.#slab
    const at = this.#at
    vnet.clear(view, at - ethernet.LENGTH - vnet.LENGTH)
    ethernet.write(view, at - ethernet.LENGTH, toHigh, toLow, this.#mac.high, this.#mac.low, ethernet.TYPE_ARP)
    arp.write(view, at, operation, this.#mac.high, this.#mac.low, senderIp, targetHigh, targetLow, targetIp)
    this.#batch.push(at, arp.LENGTH, 0)
    this.#link.sendFrames(this.#slab, this.#batch)
  }
}
