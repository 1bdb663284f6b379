/** Limits of an inside address, met by a real host: what its connections are told, that other hosts notice nothing, and what `status` shows. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { LabNamespace, LabProcess } from '../../src/testing/lab/index.js'
import { fetchPage, REMOTE, serveEcho, serveHttp, until } from './gateway-support.js'
import { askUdp, CAPTURE, ManyHosts, SILENT } from './many-hosts.js'

let hosts: ManyHosts
beforeAll(async () => {
  hosts = await ManyHosts.create()
  await serveHttp(hosts.bed.server, 80)
  await serveEcho(hosts.bed.server, REMOTE)
})
afterAll(async () => {
  await hosts.bed.close()
})

/**
 * Opens connections to `process.argv[1]`, port `process.argv[2]`, as many as `process.argv[3]`, at once, and keeps them; prints how
 * each went. At SIGTERM it resets them, so that nothing is repeated to a later gateway.
 */
const OPENER = `
  import { connect } from 'node:net'
  const [, address, port, count] = process.argv
  const sockets = Array.from({ length: Number(count) }, () =>
    connect(Number(port), address, () => console.log('connected')).on('error', ({ code }) => console.log(code)))
  process.on('SIGTERM', () => {
    for (const socket of sockets) socket.connecting ? socket.destroy() : socket.resetAndDestroy()
    setTimeout(process.exit, 50)
  })
  console.log('begun')`

class Opener {
  readonly process: LabProcess

  private constructor(process: LabProcess) {
    this.process = process
  }

  static async start(where: LabNamespace, count: number, address = REMOTE, port = 7): Promise<Opener> {
    const opener = new Opener(where.node(OPENER, [address, String(port), String(count)]))
    await opener.process.waitFor(/begun/)
    return opener
  }

  /** How many connections went how, by now. */
  get outcome(): Record<string, number> {
    const counts: Record<string, number> = {}
    for (const line of this.process.stdout.split('\n')) if (line !== '' && line !== 'begun') counts[line] = (counts[line] ?? 0) + 1
    return counts
  }

  /** Waits until this many have an outcome, and resolves with it. */
  async outcomeOf(count: number): Promise<Record<string, number>> {
    const { outcome } = this
    await until(() => Object.values(this.outcome).reduce((sum, one) => sum + one, 0) >= count, () => JSON.stringify(outcome))
    return this.outcome
  }

  async stop(): Promise<void> {
    this.process.kill('SIGTERM')
    await this.process.done
  }
}

describe.each([
  ['host-unreachable', 'unreachable', []],
  ['prohibited', 'unreachable - admin prohibited filter', ['--limit', 'refusal=prohibited']],
  ['prohibited', 'unreachable - admin prohibited filter', ['--profile', 'linux']],
] as const)('refusal %s', (refusal, text, flags) => {
  const limited = async (limit: string, work: () => Promise<void>): Promise<void> => {
    const gateway = await hosts.bed.up(...CAPTURE, ...flags, '--limit', limit, '--log-level', 'warn')
    try {
      await work()
    } finally {
      gateway.kill('SIGINT')
      expect(await gateway.finish()).toMatchObject({ code: 0, stderr: '' })
    }
  }
  /** Others connect, and talk UDP, as ever. */
  const expectOthersUnharmed = async (): Promise<void> => {
    expect(await fetchPage(hosts.quiet, `http://${REMOTE}/`)).toContain('203.0.113.1')
    expect(await askUdp(hosts.quiet)).toBe('word')
  }

  it('CGN-4, CGN-11: connections beyond flowsPerSource are refused at once, with an ICMP error; those there are go on', async () => {
    await limited('flows-per-source=20', async () => {
      const { bed, noisy } = hosts
      const capture = await bed.capture(noisy)
      const first = await Opener.start(noisy, 20)
      expect(await first.outcomeOf(20)).toEqual({ connected: 20 })
      const second = await Opener.start(noisy, 5)
      expect(await second.outcomeOf(5)).toEqual({ EHOSTUNREACH: 5 })
      await capture.stop()
      const errors = await capture.packets('icmp')
      expect(errors).toHaveLength(5)
      // At once: no SYN was repeated.
      expect(await capture.packets('tcp[tcpflags] == tcp-syn')).toHaveLength(25)
      expect(errors.filter((line) => line.includes(`10.77.0.1 > 172.16.0.2: ICMP host ${REMOTE} ${text},`))).toHaveLength(5)
      await expectOthersUnharmed()
      expect(first.outcome).toEqual({ connected: 20 })
      expect(await bed.status()).toMatchObject({
        flows: { refused: 5 }, limits: { flowsPerSource: 20, refusal, sources: 2, gaveWay: 0 }, drops: { 'source-limit': 5 },
      })
      for (const each of [first, second]) await each.stop()
    })
  })

  it('CGN-5: new connections beyond newFlowsPerSource are refused at once, and work again when the time has come', async () => {
    await limited('new-flows-per-source=5', async () => {
      const { bed, noisy } = hosts
      const opener = await Opener.start(noisy, 60)
      const { connected, ...others } = await opener.outcomeOf(60)
      // Twice the rate at once; a slow machine leaves time for a few more.
      expect(connected).toBeGreaterThanOrEqual(10)
      expect(others).toEqual({ EHOSTUNREACH: 60 - connected! })
      expect(await bed.status()).toMatchObject({ limits: { newFlowsPerSource: 5 }, drops: { 'rate-limit': 60 - connected! } })
      await expectOthersUnharmed()
      await until(async () => await fetchPage(noisy, `http://${REMOTE}/`) !== 'error 7')
      await opener.stop()
    })
  })

  it('half-open connections beyond halfOpenPerSource are refused at once; established ones do not count', async () => {
    await limited('half-open-per-source=4', async () => {
      const { bed, noisy } = hosts
      const established = []
      for (let round = 0; round < 6; round++) {
        established.push(await Opener.start(noisy, 1))
        await established.at(-1)!.outcomeOf(1)
      }
      const waiting = await Opener.start(noisy, 7, SILENT)
      expect(await waiting.outcomeOf(3)).toEqual({ EHOSTUNREACH: 3 })
      expect(await fetchPage(noisy, `http://${REMOTE}/`)).toBe('error 7')
      expect(await askUdp(noisy)).toBe('word')
      await expectOthersUnharmed()
      expect(await bed.status()).toMatchObject({ limits: { halfOpen: { count: 4, limit: null }, halfOpenPerSource: 4 }, drops: { 'half-open-limit': 4 } })
      expect(established.map(({ outcome }) => outcome)).toEqual(Array<object>(6).fill({ connected: 1 }))
      for (const each of [...established, waiting]) await each.stop()
    })
  })
})

it('CGN-11: refusal silent: a connection beyond the limit waits for an answer that does not come', async () => {
  const gateway = await hosts.bed.up(...CAPTURE, '--limit', 'flows-per-source=1', '--limit', 'refusal=silent')
  const first = await Opener.start(hosts.noisy, 1)
  await first.outcomeOf(1)
  expect(await fetchPage(hosts.noisy, `http://${REMOTE}/`, '--max-time', '1')).toBe('error 28')
  expect((await hosts.bed.status()).limits.refusal).toBe('silent')
  gateway.kill('SIGINT')
  await gateway.finish()
  await first.stop()
})

it('half-open connections in total, and of a rule', async () => {
  const gateway = await hosts.bed.up(...CAPTURE, '--limit', 'half-open=3', '--nat-rule', 'protocol=tcp,ports=7,flows=2')
  const { bed, noisy, quiet } = hosts
  const ruled = await Opener.start(noisy, 2)
  expect(await ruled.outcomeOf(2)).toEqual({ connected: 2 })
  // The rule's limit is that of all hosts, towards that port alone.
  expect(await fetchPage(quiet, `http://${REMOTE}:7/`)).toBe('error 7')
  expect(await fetchPage(quiet, `http://${REMOTE}/`)).toContain('203.0.113.1')
  const waiting = await Opener.start(noisy, 5, SILENT, 80)
  expect(await waiting.outcomeOf(2)).toEqual({ EHOSTUNREACH: 2 })
  expect(await fetchPage(quiet, `http://${REMOTE}/`)).toBe('error 7')
  expect(await askUdp(quiet)).toBe('word')
  expect(await bed.status()).toMatchObject({ limits: { halfOpen: { count: 3, limit: 3 } }, drops: { 'rule-limit': 1, 'half-open-limit': 3 } })
  for (const each of [ruled, waiting]) await each.stop()
  gateway.kill('SIGINT')
  await gateway.finish()
})
