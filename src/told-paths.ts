/** What sockets were told last of the paths that their packets take. 12 bytes a socket. */
export class ToldPaths {
  readonly #sources: Int32Array
  readonly #mtus: Int32Array
  readonly #generations: Int32Array

  constructor(capacity: number) {
    this.#sources = new Int32Array(capacity)
    this.#mtus = new Int32Array(capacity)
    this.#generations = new Int32Array(capacity)
  }

  /** Notes it. Returns whether it is new to the socket. */
  isNews(socket: number, generation: number, source: number, mtu: number): boolean {
    if (this.#generations[socket] === generation && this.#sources[socket] === source && this.#mtus[socket] === mtu) return false
    this.#generations[socket] = generation
    this.#sources[socket] = source
    this.#mtus[socket] = mtu
    return true
  }
}
