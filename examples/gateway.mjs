// A gateway within a program of one's own: what "tsnat up" does, with its status printed each second. Needs root.
//
//   node examples/gateway.mjs eth0
import { createGateway, parseConfig, TsnatError } from 'tsnat'
import { pino } from 'pino'

const [wan] = process.argv.slice(2)

const run = async () => {
  const config = parseConfig({ wan, capture: 'none', name: 'example', lan: 'tun-example' })
  const gateway = await createGateway(config, { log: pino({ level: 'warn' }) })
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => gateway.stop())

  const timer = setInterval(() => {
    const { state, lan, wans, flows } = gateway.status()
    const [wan] = wans
    console.log(`${state}: ${flows.count} flows, ${lan.name} ${lan.rx.packets} packets in, ${wan.name} (${wan.address ?? 'no address'}) ${wan.tx.packets} out`)
  }, 1000)
  const reason = await gateway.closed
  clearInterval(timer)
  if (reason !== null) throw reason
}

try {
  await run()
} catch (error) {
  if (!(error instanceof TsnatError)) throw error
  console.error(`${error.message}${error.hint === undefined ? '' : `\n  ${error.hint}`}`)
  process.exitCode = error.exitCode
}
