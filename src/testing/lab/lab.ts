/**
 * A laboratory: network namespaces, links between them, programs in them, and nothing left of it afterwards.
 *
 * Namespaces have no name and are held by descriptors of this process; programs are killed by the kernel when this
 * process dies. So even a SIGKILL of this process leaves nothing behind, except a name given with
 * {@link LabNamespace.bind}. Needs CAP_SYS_ADMIN and CAP_NET_ADMIN: root, or the root of a user namespace
 * (`unshare --user --map-root-user --net --mount`). Needs no iproute2.
 *
 * Changing namespaces concerns the calling thread for the length of a synchronous call only, so several laboratories
 * can live in one process, and other code in it notices nothing.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { closeAtExit, forget } from './cleanup.js'
import { Line } from './line.js'
import { LabNamespace } from './namespace.js'

/** One end of a link. */
export interface LinkEnd {
  name: string
  /** In CIDR notation. */
  address?: string | readonly string[]
  mac?: string
  /** In bytes; 1500 when absent. */
  mtu?: number
}

const addressesOf = ({ address }: LinkEnd): readonly string[] => [address ?? []].flat()

const configure = async (namespace: LabNamespace, end: LinkEnd): Promise<void> => {
  for (const prefix of addressesOf(end)) await namespace.address(end.name, prefix)
  await namespace.up(end.name)
}

export class Lab {
  readonly name: string
  readonly #namespaces = new Map<string, LabNamespace>()
  readonly #lines: Line[] = []
  readonly #directories: string[] = []
  #closed = false

  /** @param name begins the names of its namespaces, which show in errors and under /run/netns */
  constructor(name: string) {
    this.name = name
    closeAtExit(this)
  }

  static create(name: string): Promise<Lab> {
    return Promise.resolve(new Lab(name))
  }

  /** A new namespace with loopback up and IPv6 off. */
  async namespace(name: string): Promise<LabNamespace> {
    const made = new LabNamespace(`${this.name}-${name}`)
    this.#namespaces.set(name, made)
    await made.prepare()
    return made
  }

  /** A new, empty directory that is removed with all in it when the laboratory closes, e.g. for TSNAT_RUN_DIR. */
  temporaryDirectory(): string {
    const path = mkdtempSync(join(tmpdir(), `${this.name}-`))
    this.#directories.push(path)
    return path
  }

  /** Joins two namespaces by a veth pair, both ends up. */
  async link(a: LabNamespace, endA: LinkEnd, b: LabNamespace, endB: LinkEnd): Promise<void> {
    await a.rtnl.addVeth(endA, endB, b.fd)
    await configure(a, endA)
    await configure(b, endB)
    for (const [namespace, end] of [[a, endA], [b, endB]] as const) await namespace.carrier(end.name)
  }

  /** Joins two namespaces by interfaces without link headers; see {@link Line}. `mac` has no meaning here. */
  async line(a: LabNamespace, endA: LinkEnd, b: LabNamespace, endB: LinkEnd): Promise<void> {
    this.#lines.push(new Line(a, endA.name, b, endB.name))
    if (endA.mtu !== undefined) await a.mtu(endA.name, endA.mtu)
    if (endB.mtu !== undefined) await b.mtu(endB.name, endB.mtu)
    await configure(a, endA)
    await configure(b, endB)
  }

  /** Kills the programs, waits for their end, and lets go of the namespaces. */
  async close(): Promise<void> {
    const processes = [...this.#namespaces.values()].flatMap((each) => each.processes)
    this.closeNow()
    await Promise.all(processes.map((each) => each.done))
    this.#removeDirectories()
    forget(this)
  }

  closeNow(): void {
    if (this.#closed) return
    this.#closed = true
    for (const each of this.#lines) each.close()
    for (const each of this.#namespaces.values()) each.closeNow()
    this.#removeDirectories()
  }

  /** Again after the programs' end, as one may have written in between. */
  #removeDirectories(): void {
    for (const path of this.#directories) rmSync(path, { recursive: true, force: true })
  }
}
