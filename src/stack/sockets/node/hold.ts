/** `ref` and `unref` of a socket: whether it keeps the process alive while it is open. */
import type { SocketHost } from './host.js'

export class Hold {
  readonly #host: SocketHost
  #wanted = true
  #open = false

  constructor(host: SocketHost) {
    this.#host = host
  }

  open(): void {
    this.#change(this.#wanted, true)
  }

  close(): void {
    this.#change(this.#wanted, false)
  }

  ref(): void {
    this.#change(true, this.#open)
  }

  unref(): void {
    this.#change(false, this.#open)
  }

  #change(wanted: boolean, open: boolean): void {
    const before = this.#wanted && this.#open
    this.#wanted = wanted
    this.#open = open
    if (before === (wanted && open)) return
    if (before) this.#host.release()
    else this.#host.hold()
  }
}
