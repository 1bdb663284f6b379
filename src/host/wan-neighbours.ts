/**
 * Neighbours in use: the kernel resolves them, this keeps it at it.
 *
 * tsnat sends past the kernel, which therefore sees no traffic to these neighbours and would let them go stale, or forget
 * them. So for each address in use: a stale or forgotten entry is used again (NTF_USE), on which the kernel confirms it
 * with ARP, about every half minute; a failed one is asked for again, after a pause. A MAC address that changes is thus
 * noticed by the time the confirmation takes, and at once when the neighbour announces it.
 *
 * Kept: one record for each address in use, with what was reported last; a change is reported once.
 */
import type { Mac } from '../stack/wire/address.js'
import type { Rtnetlink } from './rtnetlink.js'
import type { Neighbour, NeighbourState } from './rtnetlink-types.js'

export interface NeighbourReport {
  /** IPv4 address, int32. */
  ip: number
  /** Null while the neighbour is unknown or does not answer. */
  mac: Mac | null
  state: NeighbourState
}

export interface Timers {
  setTimeout(callback: () => void, milliseconds: number): unknown
  clearTimeout(timer: unknown): void
}

/** Timers that do not keep the process alive. */
export const hostTimers: Timers = {
  setTimeout: (callback, milliseconds) => setTimeout(callback, milliseconds).unref(),
  clearTimeout: (timer) => clearTimeout(timer as NodeJS.Timeout),
}

/** Pause before a neighbour that does not answer is asked for again. */
const RETRY_MILLISECONDS = 1000

/** Entries in these states need no resolving, and must not be used: the kernel then takes a permanent one for unknown. */
const SETTLED: readonly NeighbourState[] = ['reachable', 'permanent', 'noarp']

interface Used {
  /** What was reported last, as text; empty at first. */
  reported: string
  /** A MAC address was reported last. */
  resolved: boolean
  retry: unknown
}

export class NeighbourKeeper {
  readonly #used = new Map<number, Used>()
  readonly #rtnetlink: Rtnetlink
  readonly #report: (report: NeighbourReport) => void
  readonly #timers: Timers
  /** 0 while neighbours cannot be resolved: no interface, or it is down. */
  #ifindex = 0

  constructor(rtnetlink: Rtnetlink, report: (report: NeighbourReport) => void, timers: Timers) {
    this.#rtnetlink = rtnetlink
    this.#report = report
    this.#timers = timers
  }

  /** Starts to keep an address resolved; asks again when it is kept already. */
  use(ip: number): void {
    let used = this.#used.get(ip)
    if (used === undefined) this.#used.set(ip, (used = { reported: '', resolved: false, retry: undefined }))
    if (this.#ifindex !== 0) void this.#ask(ip, used)
  }

  release(ip: number): void {
    const used = this.#used.get(ip)
    if (used === undefined) return
    this.#timers.clearTimeout(used.retry)
    this.#used.delete(ip)
  }

  /** The interface came up, went down, or is another one now. All entries are asked for anew. */
  setInterface(ifindex: number): void {
    if (ifindex === this.#ifindex) return
    this.#ifindex = ifindex
    for (const [ip, used] of this.#used) {
      if (ifindex === 0) this.#take(ip, used, { mac: null, state: 'failed' })
      else void this.#ask(ip, used)
    }
  }

  /** Events were lost: look again. */
  recheck(): void {
    if (this.#ifindex !== 0) for (const [ip, used] of this.#used) void this.#ask(ip, used)
  }

  /** An event of the kernel. */
  onEvent(neighbour: Neighbour, deleted: boolean): void {
    const used = this.#used.get(neighbour.address)
    if (used === undefined || neighbour.ifindex !== this.#ifindex) return
    if (deleted) void this.#ask(neighbour.address, used)
    else this.#take(neighbour.address, used, neighbour)
  }

  close(): void {
    for (const ip of [...this.#used.keys()]) this.release(ip)
  }

  /** Makes the kernel resolve, and takes what it knows now; the outcome of an ARP exchange comes as an event. */
  async #ask(ip: number, used: Used): Promise<void> {
    const ifindex = this.#ifindex
    let found: Neighbour | null = null
    try {
      found = await this.#rtnetlink.neighbour(ifindex, ip)
      if (found === null || !SETTLED.includes(found.state)) {
        await this.#rtnetlink.useNeighbour(ifindex, ip)
        found = await this.#rtnetlink.neighbour(ifindex, ip)
      }
    } catch {
      // The interface went away or down meanwhile, or the neighbour table is full.
    }
    if (this.#used.get(ip) !== used || ifindex !== this.#ifindex) return
    this.#take(ip, used, found ?? { mac: null, state: 'failed' })
  }

  #take(ip: number, used: Used, { mac, state }: { mac: Mac | null; state: NeighbourState }): void {
    if (state === 'stale') void this.#confirm(ip)
    if (state === 'failed' && this.#ifindex !== 0) {
      // One that answered until now has perhaps moved to another MAC address: ask everybody at once.
      if (used.resolved) void this.#ask(ip, used)
      else this.#retryLater(ip, used)
    }
    used.resolved = mac !== null
    const text = `${state} ${mac?.high} ${mac?.low}`
    if (text === used.reported) return
    used.reported = text
    this.#report({ ip, mac, state })
  }

  async #confirm(ip: number): Promise<void> {
    try {
      await this.#rtnetlink.useNeighbour(this.#ifindex, ip)
    } catch {
      // As in #ask; the entry is asked for again when the interface is back.
    }
  }

  #retryLater(ip: number, used: Used): void {
    this.#timers.clearTimeout(used.retry)
    used.retry = this.#timers.setTimeout(() => {
      if (this.#ifindex !== 0 && this.#used.get(ip) === used) void this.#ask(ip, used)
    }, RETRY_MILLISECONDS)
  }
}
