/** What the demo does and what it holds to be right. */
import { createControlClient } from '../../api/client.js'
import type { FlowRecord } from '../../api/types.js'
import { CLIENT, GATEWAY, Stage } from './stage.js'

export interface Check {
  name: string
  ok: boolean
  /** What was seen. */
  detail: string
}

/** Bits a second of one TCP connection. */
export interface Speed {
  upload: number
  download: number
}

export interface DemoReport {
  ok: boolean
  checks: Check[]
  speed: { direct: Speed; tsnat: Speed } | null
  /** Every flow that the gateway knew at the end. */
  flows: FlowRecord[]
  /** Milliseconds from the start of the gateway's process until packets flowed. */
  startup: number | null
  /** Seconds that all took. */
  seconds: number
}

const bulk = async (stage: Stage, seconds: number): Promise<Speed> => ({
  upload: (await stage.task('upload', seconds)).bitsPerSecond,
  download: (await stage.task('download', seconds)).bitsPerSecond,
})

const list = async (): Promise<FlowRecord[]> => {
  const flows: FlowRecord[] = []
  for await (const flow of createControlClient('default').flows({})) flows.push(flow)
  return flows
}

/** One piece of traffic and the judgement on it. It passes when `what` resolves with ok. */
type Trial = (name: string, what: () => Promise<{ ok: boolean; detail: string }>) => Promise<void>

const traffic = async (stage: Stage, trial: Trial): Promise<void> => {
  await trial('ping', async () => {
    const { sent, received, shortest, ttl } = await stage.task('ping')
    const detail = received === 0 ? `none of ${sent} answered` : `${received} of ${sent} answered, ${shortest.toFixed(2)} ms, TTL ${ttl}`
    return { ok: received === sent, detail }
  })
  await trial('dns', async () => {
    const { asked, right, missingNoticed } = await stage.task('dns')
    return { ok: right === asked && missingNoticed, detail: `${right} of ${asked} names right at once, ${missingNoticed ? 'an unknown one refused' : 'an unknown one answered'}` }
  })
  await trial('http', async () => {
    const { answered, parallel, bytes, downloadIntact, uploadIntact } = await stage.task('http')
    const intact = downloadIntact && uploadIntact ? 'SHA-256 equal' : `SHA-256 differs (${[downloadIntact ? '' : 'down', uploadIntact ? '' : 'up'].filter(Boolean).join(', ')})`
    return { ok: answered === parallel && downloadIntact && uploadIntact, detail: `${answered} of ${parallel} connections at once, ${bytes >>> 20} MiB up and down, ${intact}` }
  })
  await trial('translation', async () => {
    const addresses = await stage.task('seen')
    const ok = addresses.length === 1 && addresses[0] === GATEWAY
    return { ok, detail: `the server saw ${addresses.join(', ')}${ok ? `, never ${CLIENT}` : ''}` }
  })
}

const flowCheck = (flows: readonly FlowRecord[]): { ok: boolean; detail: string } => {
  const count = (protocol: string): number => flows.filter((flow) => flow.protocol === protocol && flow.original.src === CLIENT && flow.reply.dst === GATEWAY).length
  const [tcp, udp, icmp] = [count('tcp'), count('udp'), count('icmp')]
  return { ok: tcp > 64 && udp > 0 && icmp > 0, detail: `${flows.length} flows: ${tcp} TCP, ${udp} UDP, ${icmp} ICMP` }
}

/**
 * Plays the whole demo. A check that fails does not end it; without a gateway nothing further is tried.
 * @param seconds of each bulk transfer
 * @param onCheck called after each check
 * @throws TsnatError when the stage cannot be built or the gateway does not start
 */
export const runDemo = async (seconds: number, onCheck: (check: Check) => void): Promise<DemoReport> => {
  const begin = performance.now()
  const report: DemoReport = { ok: false, checks: [], speed: null, flows: [], startup: null, seconds: 0 }
  const trial: Trial = async (name, what) => {
    const { ok, detail } = await what().catch((error: unknown) => ({ ok: false, detail: error instanceof Error ? error.message : String(error) }))
    const check = { name, ok, detail }
    report.checks.push(check)
    onCheck(check)
  }
  const stage = await Stage.build()
  try {
    await stage.serve()
    const direct = await stage.directly(async () => {
      const speed = await bulk(stage, seconds)
      // Makes the server forget the client's own address, which it has now seen.
      await stage.task('seen')
      return speed
    })
    const before = await stage.gateway.snapshot()
    const gateway = await stage.startGateway()
    report.startup = gateway.startup
    await trial('start', () => Promise.resolve({ ok: true, detail: `packets flowed after ${gateway.startup.toFixed(0)} ms` }))
    await traffic(stage, trial)
    await trial('speed', async () => {
      report.speed = { direct, tsnat: await bulk(stage, seconds) }
      return { ok: true, detail: 'one TCP connection each way, see below' }
    })
    await trial('flow table', async () => {
      report.flows = await list()
      return flowCheck(report.flows)
    })
    await trial('stop', async () => {
      const code = await gateway.stop()
      const after = await stage.gateway.snapshot()
      const differences = [...before.filter((line) => !after.includes(line)), ...after.filter((line) => !before.includes(line))]
      const detail = differences.length === 0 ? 'links, addresses, routes, rules and sysctls are as they were' : `left behind: ${differences.join('; ')}`
      return { ok: code === 0 && differences.length === 0, detail: code === 0 ? detail : `exit code ${code}; ${detail}` }
    })
  } finally {
    await stage.close()
  }
  report.ok = report.checks.every((check) => check.ok)
  report.seconds = (performance.now() - begin) / 1000
  return report
}
