import { it } from 'vitest'
import { GatewayLab, SERVER, pause, serveEcho } from './gateway-support.js'
it('gc', async () => {
  const lab = await GatewayLab.create()
  const up = lab.gateway.spawn(process.execPath, ['--trace-gc', ...lab.upCommand()], { env: lab.environment })
  await up.waitFor(/^ready$/m)
  await serveEcho(lab.server, SERVER)
  lab.server.spawn('iperf3', ['-s'])
  await pause(300)
  const show = (label: string, from: number) => {
    const lines = up.stdout.slice(from).split('\n').filter((l) => /ms: /.test(l))
    const by = new Map<string, number>()
    for (const l of lines) { const k = l.match(/0x[0-9a-f]+/)?.[0] ?? '?'; by.set(k, (by.get(k) ?? 0) + 1) }
    console.log(label, by, lines.slice(0, 6).join('\n'))
  }
  show('start', 0)
  let at = up.stdout.length
  const r = await lab.client.run('iperf3', ['-c', SERVER, '-u', '-b', '0', '-l', '64', '-t', '50', '-P', '2'])
  console.log(r.stdout.split('\n').slice(-8).join('\n'))
  const s = await lab.status()
  console.log(s.lan.rx, s.wan.tx)
  show('udp', at)
  at = up.stdout.length
  const t = await lab.client.run('iperf3', ['-c', SERVER, '-t', '15', '-P', '4'])
  console.log(t.stdout.split('\n').slice(-5).join('\n'))
  console.log((await lab.status()).lan.rx, (await lab.status()).wan.rx)
  show('tcp', at)
  at = up.stdout.length
  await pause(5000)
  show('idle', at)
  await lab.close()
})
