/** SYNs from outside that nobody waits for, sent by real kernels: held for six seconds, and the opening of a connection from both sides at once. */
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { FlowRecord, GatewayStatus } from '../../src/api/types.js'
import { Lab } from '../../src/testing/lab/index.js'
import type { LabNamespace, LabProcess, SpawnOptions } from '../../src/testing/lab/index.js'
import { Capture, CLI, pause, until } from '../netns/gateway-support.js'
import { Bed, GATEWAY, SERVER } from './support.js'

/**
 * Connects from port `process.argv[1]` to `process.argv[2]`, port `process.argv[3]`, at the time of Date.now() that it is told on its
 * standard input; says what it hears, or the error.
 */
const CONNECTOR = `
  import { connect } from 'node:net'
  const [, localPort, host, port] = process.argv
  process.stdin.once('data', (at) => setTimeout(() => {
    const socket = connect({ localPort: Number(localPort), host, port: Number(port) }, () => socket.write('hello from ' + localPort + '\\n'))
    socket.on('data', (data) => console.log(String(data).trim()))
    socket.on('error', ({ code }) => console.log(code))
  }, Math.max(0, Number(at) - Date.now())))
  console.log('ready')`

const connector = async (where: LabNamespace, localPort: number, host: string, port: number): Promise<LabProcess> => {
  const process = where.node(CONNECTOR, [localPort, host, port].map(String), { interactive: true })
  await process.waitFor(/ready/)
  return process
}
/** @param at of Date.now(); at once when absent */
const begin = (one: LabProcess, at = 0): void => one.write(String(at))

const PORTS = ['--ports', '40000-40999']

describe.each([
  ['the kernel\'s address', GATEWAY, []],
  ['an address of tsnat\'s own', '203.0.113.50', ['--wan-address', 'owned:203.0.113.50/24']],
] as const)('a connection from outside to a port of tsnat\'s that nobody has, on %s', (_, address, flags) => {
  it('TCP-4: is refused after six seconds, neither at once nor never, by whatever neighbour it is tried', async () => {
    const bed = await Bed.build(['tcpdump'])
    try {
      const { server, lab } = bed
      const near = '203.0.113.10'
      await server.address('eth0', `${near}/24`)
      // SYNs at 0, 1, 3 and 7 s, so that their number tells the time.
      server.sysctl('net.ipv4.tcp_syn_linear_timeouts', 0)
      await bed.up(...PORTS, ...flags)
      const captured = `${lab.temporaryDirectory()}/pcap`
      const capture = await Capture.start(server, captured)
      const curl = (from: string): Promise<unknown> =>
        server.run('curl', ['-s', '--max-time', '20', '--interface', from, `http://${address}:40500/`]).then(({ code }) => code)
      // curl's word for a refused connection.
      expect(await Promise.all([curl(SERVER), curl(near)])).toEqual([7, 7])
      await capture.stop()
      for (const host of [SERVER, near]) {
        const lines = await capture.packets(`host ${host} and not arp`)
        expect(lines.map((line) => (line.includes('Flags [S]') ? 'SYN' : line.replace(/^.*ICMP/, 'ICMP')))).toEqual([
          'SYN', 'SYN', 'SYN', expect.stringMatching(`ICMP ${address} tcp port 40500 unreachable, length`) as unknown,
        ])
      }
      const { drops, flows } = await bed.status()
      expect([drops, flows.count]).toEqual([{ 'no-flow': 6 }, 0])
      await bed.stop()
    } finally {
      await bed.close()
    }
  })
})

/**
 * Two inside hosts, each behind a tsnat of its own:
 *
 *     left 192.168.1.2 ── eth1 gateway 203.0.113.1 ═══ 203.0.113.2 gateway eth1 ── 192.168.2.2 right
 *
 * The line in the middle is carried by this process: it stands still while this process does.
 */
class TwoGateways {
  readonly lab = new Lab(`punch${process.pid}`)
  readonly hosts: LabNamespace[] = []
  readonly #gateways: LabNamespace[] = []
  readonly #runs: string[] = []
  readonly #captures: Capture[] = []
  readonly #programs: LabProcess[] = []

  async start(...flags: string[]): Promise<void> {
    const { lab, hosts } = this
    for (const side of ['left', 'right']) {
      hosts.push(await lab.namespace(side))
      this.#gateways.push(await lab.namespace(`${side}-gateway`))
      this.#runs.push(lab.temporaryDirectory())
    }
    const [left, right] = this.#gateways
    await lab.line(left!, { name: 'eth0', address: '203.0.113.1/24' }, right!, { name: 'eth0', address: '203.0.113.2/24' })
    for (const [side, gateway] of this.#gateways.entries()) {
      const host = hosts[side]!
      const subnet = `192.168.${side + 1}`
      await lab.link(host, { name: 'eth0', address: `${subnet}.2/24` }, gateway, { name: 'eth1', address: `${subnet}.1/24` })
      await host.route('default', `${subnet}.1`)
      await gateway.route('default', undefined, { device: 'eth0' })
      const words = ['up', '--wan', 'eth0', '--capture', 'iif=eth1', '--log-level', 'warn', ...PORTS, ...flags]
      const program = gateway.spawn(process.execPath, [CLI, ...words], this.#environment(side))
      await program.waitFor(/^ready$/m, 20_000)
      this.#programs.push(program)
      this.#captures.push(await Capture.start(host, join(this.#runs[side]!, 'pcap')))
    }
  }

  #environment(side: number): SpawnOptions {
    return { env: { TSNAT_RUN_DIR: this.#runs[side]! } }
  }

  /** Makes ready a connection of one side to the other, from port 40500 of both; `begin` lets it begin. */
  connection(side: number): Promise<LabProcess> {
    return connector(this.hosts[side]!, 40_500, `203.0.113.${2 - side}`, 40_500)
  }

  async status(side: number): Promise<GatewayStatus> {
    const { stdout } = await this.#gateways[side]!.run(process.execPath, [CLI, 'status', '--json'], { ...this.#environment(side), check: true })
    return JSON.parse(stdout) as GatewayStatus
  }

  async state(side: number): Promise<(string | null)[]> {
    const { stdout } = await this.#gateways[side]!.run(process.execPath, [CLI, 'conntrack', '-L', '--json'], { ...this.#environment(side), check: true })
    return (JSON.parse(stdout) as FlowRecord[]).map(({ state }) => state)
  }

  /** Stops the gateways; resolves with the segments that each side received, and the ICMP. */
  async stop(): Promise<string[][]> {
    for (const program of this.#programs) {
      program.kill('SIGINT')
      expect(await program.finish()).toMatchObject({ code: 0, stderr: '' })
    }
    const received = this.#captures.map(async (capture, side) => {
      await capture.stop()
      const lines = await capture.packets(`dst 192.168.${side + 1}.2 and (icmp or tcp[tcpflags] & (tcp-syn | tcp-rst) != 0)`)
      return lines.map((line) => /Flags \[(.*?)\]|ICMP.*/.exec(line)!).map(([all, segment]) => segment ?? all)
    })
    return await Promise.all(received)
  }
}

describe.each([['behave'], ['linux']])('TCP-2: two hosts behind two gateways of profile %s open one connection from both sides', (profile) => {
  const together = async (work: (both: TwoGateways) => Promise<void>): Promise<void> => {
    const both = new TwoGateways()
    try {
      await both.start('--profile', profile)
      await work(both)
    } finally {
      await both.lab.close()
    }
  }
  const expectTalk = async (both: TwoGateways, programs: readonly LabProcess[]): Promise<void> => {
    for (const program of programs) await program.waitFor(/^hello from 40500$/m, 15_000)
    expect([await both.state(0), await both.state(1)]).toEqual([['ESTABLISHED'], ['ESTABLISHED']])
  }

  it('one after the other: the first SYN is not refused', async () => {
    await together(async (both) => {
      const programs = [await both.connection(0), await both.connection(1)]
      begin(programs[0]!)
      await until(async () => (await both.status(1)).drops['no-flow'])
      begin(programs[1]!)
      await expectTalk(both, programs)
      // Whether one has been told by then that nobody is there.
      await pause(7000)
      const [toLeft, toRight] = await both.stop()
      expect([toLeft, toRight]).toEqual([['S'], expect.arrayContaining(['S.']) as unknown])
      for (const bad of ['R', 'R.']) expect(toRight).not.toContain(bad)
    })
  })

  it('at the same time: the SYNs cross', async () => {
    await together(async (both) => {
      const programs = await Promise.all([both.connection(0), both.connection(1)])
      const at = Date.now() + 300
      for (const program of programs) begin(program, at)
      // Both SYNs are on the line when it moves again, and neither was repeated.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, at + 800 - Date.now())
      await expectTalk(both, programs)
      const received = await both.stop()
      for (const side of received) expect(side.slice(0, 2)).toEqual(['S', 'S.'])
    })
  })
})
