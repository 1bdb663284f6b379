/** The MTU of the path that a datagram socket's packets take: what the network says of it, and what routers said of late. */

/** No router's MTU is smaller (RFC 791 3.2). */
const MTU_MIN = 68
/** How long a smaller MTU is believed, in milliseconds (RFC 1191 6.3). */
const MTU_TIME = 600_000

export class PathMtu {
  /** In bytes; 0 as long as the network has said nothing. */
  #network = 0
  #router = Infinity
  #routerUntil = 0

  /** The network has said something. */
  get isKnown(): boolean {
    return this.#network !== 0
  }

  /** In bytes; 0 when it is not known. @param now milliseconds */
  at(now: number): number {
    if (now >= this.#routerUntil) this.#router = Infinity
    return Math.min(this.#network, this.#router)
  }

  /** The network's. */
  set(mtu: number): void {
    this.#network = mtu
  }

  /** A router on the way could not send on a packet of `length` bytes, it says. A forged error makes datagrams be fragmented, and no more. */
  lower(mtu: number, length: number, now: number): void {
    if (mtu >= length) return
    this.#router = Math.min(this.at(now), Math.max(mtu, MTU_MIN))
    this.#routerUntil = now + MTU_TIME
  }

  forget(): void {
    this.#network = 0
    this.#router = Infinity
  }
}
