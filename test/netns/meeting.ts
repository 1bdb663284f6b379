/** The stack and the kernel, face to face. */
import { expect } from 'vitest'
import { systemRandom } from '../../src/stack/random.js'
import { openTun, TunDevice } from '../../src/stack/device/tun.js'
import { DeviceHost } from '../../src/stack/sockets/device-host.js'
import { Driver } from '../../src/stack/sockets/driver.js'
import type { TcpSettings } from '../../src/stack/sockets/tcp/settings.js'
import { Lab } from '../../src/testing/lab/index.js'
import type { LabNamespace } from '../../src/testing/lab/namespace.js'
import { ip } from '../stack/support.js'
import { User } from '../stack/sockets/tcp/user.js'
import { KernelSide } from './kernel-side.js'

export const KERNEL = '10.9.0.1'
export const STACK = '10.9.0.2'

/** A stack on a TUN of a namespace, with the kernel on its other side. */
export class Meeting {
  readonly lab: Lab
  readonly namespace: LabNamespace
  readonly kernel: KernelSide
  readonly host: DeviceHost
  readonly driver: Driver
  /** Packets stay where they are, in the TUN's queue. */
  isPaused = false

  private constructor(lab: Lab, namespace: LabNamespace, host: DeviceHost) {
    this.lab = lab
    this.namespace = namespace
    this.kernel = new KernelSide(namespace)
    this.host = host
    const driven = {
      advance: (now: number) => host.advance(now),
      pump: () => (this.isPaused ? 0 : host.pump()),
      get next() {
        return host.next
      },
    }
    this.driver = new Driver(driven, { fd: host.network.device.fd })
    host.useDriver(this.driver)
    this.driver.hold()
  }

  static async make({ offload = true, tcp = {} }: { offload?: boolean; tcp?: Partial<TcpSettings> } = {}): Promise<Meeting> {
    const lab = await Lab.create('tcp-kernel')
    const namespace = await lab.namespace('kernel')
    const device = new TunDevice(namespace.inside(() => openTun('tun0', offload)))
    await namespace.address('tun0', `${KERNEL}/24`)
    await namespace.up('tun0')
    const host = new DeviceHost({ device, addresses: [`${STACK}/24`], now: performance.now(), random: systemRandom(), tcp })
    return new Meeting(lab, namespace, host)
  }

  async close(): Promise<void> {
    this.driver.close()
    this.host.close()
    await this.kernel.close()
    await this.lab.close()
  }

  /** Users of the connections that are accepted, in their order. */
  listen(port: number, isReading = true): User[] {
    this.host.stack.attend()
    const accepted: User[] = []
    this.host.stack.listenTcp({ port }).onConnection = (endpoint) => void accepted.push(new User(endpoint, isReading))
    return accepted
  }

  connect(port: number, localPort?: number): User {
    this.host.stack.attend()
    return new User(this.host.stack.connectTcp({ address: ip(KERNEL), port, ...(localPort === undefined ? {} : { localPort, localAddress: ip(STACK) }) }))
  }

  /** Does something with sockets of the stack. */
  use(action: () => void): void {
    this.host.stack.attend()
    action()
  }

  /** Sends what is to be sent, though nothing is received. */
  flush(): void {
    this.host.network.flush()
  }

  /** A connection that the kernel opened, as `s`. */
  async opened(isReading = true): Promise<User> {
    const accepted = this.listen(80, isReading)
    await this.kernel.run(`s = create_connection(('${STACK}', 80))`)
    await expect.poll(() => accepted.length).toBe(1)
    return accepted[0]!
  }

  /** A connection that the stack opened, the kernel's end of it is `s`. */
  async connected(): Promise<User> {
    await this.kernel.run(`l = create_server(('${KERNEL}', 8000))`)
    const user = this.connect(8000)
    await this.kernel.run('s = l.accept()[0]')
    await expect.poll(() => user.events).toEqual(['connect'])
    return user
  }

  /** State of the kernel's sockets that are no listeners, as ss tells it. */
  async states(): Promise<string[]> {
    const { stdout } = await this.namespace.run('ss', ['-Htan'])
    return stdout.split('\n').map((line) => line.split(/\s+/)[0]!).filter((state) => state !== '' && state !== 'LISTEN')
  }

  /** A counter of nstat. */
  async counter(name: string): Promise<number> {
    const { stdout } = await this.namespace.run('nstat', ['-asz', name])
    return Number(stdout.match(new RegExp(`${name}\\s+(\\d+)`))?.[1])
  }
}
