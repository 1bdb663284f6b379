/** The table of sockets beside the kernel's: the same sockets are bound and connected in both, and the same packets sent to them. */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, it } from 'vitest'
import { canBind } from '../../../src/stack/sockets/bind.js'
import { SOCKET_FLAG, SocketTable } from '../../../src/stack/sockets/socket-table.js'
import { ip } from '../../stack/support.js'
import { socketRow } from '../../stack/sockets/support.js'

interface Bind { name: number; address: string; device: number; reuseAddress: number; reusePort: number; bound: boolean }
interface Connect { name: number; address: string; remotePort: number }
interface Case { kind: 'udp' | 'tcp'; steps: (Bind | Connect)[]; sends: { destination: string; port: number; got: number[] }[] }

const PORT = 5000
const CLIENT = ip('127.0.0.10')
const { connected, listening, reuseAddress, reusePort } = SOCKET_FLAG
const isConnect = (step: Bind | Connect): step is Connect => 'remotePort' in step

class Replay {
  readonly table = new SocketTable(SocketTable.allocate(16))
  /** Rows by the name of their socket. */
  readonly rows = new Map<number, number>()
  readonly protocol: number

  constructor({ kind }: Case) {
    this.protocol = kind === 'udp' ? 17 : 6
  }

  /** Does what the kernel did. Returns whether the table would have let it happen. */
  bind({ name, address, device, reuseAddress: mayReuse, reusePort: mayShare, bound }: Bind): boolean {
    const flags = (this.protocol === 6 ? listening : 0) | (mayReuse === 1 ? reuseAddress : 0) | (mayShare === 1 ? reusePort : 0)
    const row = socketRow({ protocol: this.protocol, flags, localAddress: ip(address), localPort: PORT, interface: device })
    const can = canBind(this.table, row)
    if (bound) this.rows.set(name, this.table.add(row))
    return can
  }

  connect({ name, address, remotePort }: Connect): void {
    const row = this.rows.get(name)!
    this.table.update(row, { flags: this.table.flagsOf(row) | connected, localAddress: ip(address), remoteAddress: CLIENT, remotePort })
  }

  /** All rows that get such a packet with one hash of the source or another. */
  find(port: number, destination: string): Set<number> {
    const found = new Set<number>()
    for (let hash = 0; hash < 64; hash++) found.add(this.table.find(this.protocol, CLIENT, port, ip(destination), PORT, 1, hash * 0x4000000))
    return found
  }

  /**
   * Whether two rows differ by the interface alone. Where one is bound to it and the other to none, the kernel takes the first that it comes
   * to if they are connected or in reuseport groups; the table the one that is bound.
   */
  isAlike(a: number, b: number): boolean {
    const { table } = this
    return table.localAddressOf(a) === table.localAddressOf(b) && ((table.flagsOf(a) ^ table.flagsOf(b)) & connected) === 0 && table.interfaceOf(a) !== table.interfaceOf(b)
  }
}

describe('the table of sockets and the kernel', () => {
  let cases: Case[]
  beforeAll(() => {
    const script = fileURLToPath(new URL('kernel.py', import.meta.url))
    const setUp = 'ip link set lo up && ip link add other type veth peer name end && ip link set other up'
    const run = spawnSync('unshare', ['-n', 'sh', '-c', `${setUp} && exec python3 ${script} 1 1500`], { encoding: 'utf8', maxBuffer: 64 << 20 })
    expect(run.stderr).toBe('')
    cases = JSON.parse(run.stdout) as Case[]
  })

  it('TPX-2: give the same socket a packet', () => {
    let alike = 0
    for (const one of cases) {
      const replay = new Replay(one)
      for (const step of one.steps) {
        if (isConnect(step)) replay.connect(step)
        else replay.bind(step)
      }
      for (const { destination, port, got } of one.sends) {
        const found = replay.find(port, destination)
        const expected = got.length === 0 ? -1 : replay.rows.get(got[0]!)!
        if (found.has(expected)) continue
        const [first] = found as Set<number>
        expect(first! >= 0 && expected >= 0 && replay.isAlike(first!, expected), JSON.stringify({ one, destination, port, got })).toBe(true)
        alike++
      }
    }
    expect(alike).toBeLessThan(cases.length / 10)
  })

  it('let a socket be bound where others are: the table never where the kernel does not, and seldom the other way round', () => {
    let binds = 0
    let stricter = 0
    for (const one of cases) {
      const replay = new Replay(one)
      for (const step of one.steps) {
        if (isConnect(step)) continue
        const can = replay.bind(step)
        if (can) expect(step.bound, JSON.stringify({ one, step })).toBe(true)
        binds++
        if (!can && step.bound) stricter++
      }
    }
    expect(binds).toBeGreaterThan(cases.length)
    // The kernel stops looking for conflicts at the first socket that shares its port.
    expect(stricter).toBeLessThan(binds / 100)
  })
})
