import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { TsnatError } from '../../errors.js'
import { namespaceId } from '../../host/namespace.js'
import { native } from '../../native.js'
import { LabProcess } from './process.js'
import type { RunOptions, RunResult, SpawnOptions } from './process.js'
import { RtSession } from './rtnl.js'
import { snapshotOf } from './snapshot.js'

/** Sysctls that a gateway may have to change, besides those of interfaces. */
const watchedSysctls = ['net.ipv4.ip_forward', 'net.ipv4.ip_local_reserved_ports', 'net.ipv4.conf.all.rp_filter']
const namesDirectory = '/run/netns'

/** `net.ipv4.ip_forward` → its file. A key with slashes is taken as it is, for interface names with dots. */
const sysctlPath = (key: string): string => join('/proc/sys', key.includes('/') ? key : key.replaceAll('.', '/'))

/** How often, and after how many milliseconds again, a new interface is looked at. */
const CARRIER_TRIES = 1000
const CARRIER_PAUSE = 5

/**
 * A network namespace without a name, kept alive by a descriptor of this process. Programs started in it and
 * {@link inside} see its interfaces, routes and sysctls; the calling thread is back in its own namespace when a method
 * returns.
 */
export class LabNamespace {
  readonly name: string
  /** A path that other processes can open while this process lives, e.g. for `--netns`. */
  readonly path: string
  readonly rtnl: RtSession
  /** Descriptor of the namespace in this process. */
  readonly fd: number
  readonly #home: number
  readonly #processes = new Set<LabProcess>()
  #boundName: string | undefined
  #closed = false

  /** @throws TsnatError LAB_PERMISSION without CAP_SYS_ADMIN */
  constructor(name: string) {
    this.name = name
    this.#home = native().openPath('/proc/thread-self/ns/net')
    try {
      native().unshareNetwork()
    } catch (cause) {
      native().close(this.#home)
      throw new TsnatError(`cannot create the network namespace "${name}"`, {
        code: 'LAB_PERMISSION',
        hint: 'run as root, or under "unshare --user --map-root-user --net --mount"',
        exitCode: 77,
        cause,
      })
    }
    try {
      this.fd = native().openPath('/proc/thread-self/ns/net')
      this.rtnl = new RtSession()
    } finally {
      native().setNetworkNamespace(this.#home)
    }
    this.path = `/proc/${process.pid}/fd/${this.fd}`
  }

  /** Loopback up; IPv6 off, so that captures hold nothing but what was sent. Called by the laboratory. */
  async prepare(): Promise<void> {
    for (const which of ['all', 'default']) {
      if (existsSync('/proc/sys/net/ipv6')) this.sysctl(`net.ipv6.conf.${which}.disable_ipv6`, 1)
    }
    await this.rtnl.setUp(this.index('lo'))
  }

  /** Runs synchronous code in the namespace. What it opens there (sockets, programs) stays there. */
  inside<T>(work: () => T extends PromiseLike<unknown> ? never : T): T {
    native().setNetworkNamespace(this.fd)
    try {
      return work()
    } finally {
      native().setNetworkNamespace(this.#home)
    }
  }

  /** @throws TsnatError LAB_INTERFACE when there is none of that name */
  index(device: string): number {
    const index = this.inside(() => native().interfaceIndex(device))
    if (index === 0) throw new TsnatError(`namespace "${this.name}" has no interface "${device}"`, { code: 'LAB_INTERFACE' })
    return index
  }

  /**
   * Waits until the kernel has seen the carrier of an interface that is up, as it does a moment later. Before that, what is sent is
   * lost, though the interface may say that it is running.
   */
  async carrier(device: string): Promise<void> {
    const index = this.index(device)
    for (let tries = 0; tries < CARRIER_TRIES; tries++) {
      if (await this.rtnl.isOperational(index)) return
      await setTimeout(CARRIER_PAUSE)
    }
    throw new TsnatError(`interface "${device}" in namespace "${this.name}" has no carrier`, { code: 'LAB_INTERFACE' })
  }

  /** Hardware address of an interface, `02:00:00:00:00:01`. */
  mac(device: string): string {
    const found = this.inside(() => networkInterfaces())[device]?.[0]?.mac
    if (found === undefined) throw new TsnatError(`namespace "${this.name}" has no interface "${device}" with an address`, { code: 'LAB_INTERFACE' })
    return found
  }

  /** A permanent neighbour entry. */
  async neighbour(device: string, address: string, mac: string): Promise<void> {
    await this.rtnl.addNeighbour(this.index(device), address, mac)
  }

  async up(device: string): Promise<void> {
    await this.rtnl.setUp(this.index(device))
  }

  async down(device: string): Promise<void> {
    await this.rtnl.setUp(this.index(device), false)
  }

  async mtu(device: string, bytes: number): Promise<void> {
    await this.rtnl.setMtu(this.index(device), bytes)
  }

  /** Adds an address in CIDR notation. */
  async address(device: string, prefix: string): Promise<void> {
    await this.rtnl.addAddress(this.index(device), prefix)
  }

  async deleteAddress(device: string, prefix: string): Promise<void> {
    await this.rtnl.deleteAddress(this.index(device), prefix)
  }

  /** Adds or replaces a route of the main table. `to` is `default` or a prefix. */
  async route(to: string, via?: string, options: { device?: string; mtu?: number; metric?: number } = {}): Promise<void> {
    const device = options.device === undefined ? undefined : this.index(options.device)
    await this.rtnl.replaceRoute({ to, via, device, mtu: options.mtu, metric: options.metric })
  }

  async deleteRoute(to: string, via?: string): Promise<void> {
    await this.rtnl.deleteRoute({ to, via })
  }

  sysctl(key: string, value: string | number): void {
    this.inside(() => { writeFileSync(sysctlPath(key), String(value)) })
  }

  readSysctl(key: string): string {
    return this.inside(() => readFileSync(sysctlPath(key), 'utf8').trim())
  }

  /**
   * The namespace's configuration as lines of text: interfaces, IPv4 addresses, routes of all tables, rules, and the sysctls
   * that gateways change. Equal before and after whatever cleans up behind itself.
   */
  async snapshot(): Promise<string[]> {
    const namespace = { label: this.name, path: this.path, id: namespaceId(this.path), run: this.inside.bind(this), close: () => {} }
    return [...await snapshotOf(namespace), ...watchedSysctls.map((key) => `sysctl ${key} ${this.readSysctl(key)}`)]
  }

  /** Starts a program, which dies with the laboratory or with this process, whichever ends first. */
  spawn(command: string, args: readonly string[] = [], options: SpawnOptions = {}): LabProcess {
    const started = this.inside(() => new LabProcess(command, args, options))
    this.#processes.add(started)
    void started.done.then(() => this.#processes.delete(started))
    return started
  }

  /** Runs a program to its end. */
  async run(command: string, args: readonly string[] = [], options: RunOptions = {}): Promise<RunResult> {
    return await this.spawn(command, args, options).finish(options)
  }

  /** Starts Node on the text of an ES module; `args` are its `process.argv` from index 1 on. */
  node(source: string, args: readonly string[] = [], options: SpawnOptions = {}): LabProcess {
    return this.spawn(process.execPath, ['--input-type=module', '--eval', source, '--', ...args], options)
  }

  /**
   * Gives the namespace a name under /run/netns, as `ip netns` knows them. Needs root outside of user namespaces.
   * @returns the path
   */
  bind(name = this.name): string {
    const path = join(namesDirectory, name)
    mkdirSync(namesDirectory, { recursive: true, mode: 0o755 })
    writeFileSync(path, '', { flag: 'wx', mode: 0o444 })
    this.#boundName = path
    execFileSync('mount', ['--no-canonicalize', '--bind', this.path, path], { stdio: ['ignore', 'ignore', 'pipe'] })
    return path
  }

  /** Programs that are still running. */
  get processes(): readonly LabProcess[] {
    return [...this.#processes]
  }

  closeNow(): void {
    if (this.#closed) return
    this.#closed = true
    for (const each of this.#processes) each.kill()
    if (this.#boundName !== undefined) {
      try {
        execFileSync('umount', ['--no-canonicalize', '--lazy', this.#boundName], { stdio: 'ignore' })
      } catch {
        // The mount was not made, or is gone.
      }
      rmSync(this.#boundName, { force: true })
    }
    this.rtnl.close()
    native().close(this.fd)
    native().close(this.#home)
  }
}
