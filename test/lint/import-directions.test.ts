import { fileURLToPath } from 'node:url'
import { ESLint } from 'eslint'
import { expect, it } from 'vitest'

const eslint = new ESLint({ cwd: fileURLToPath(new URL('../..', import.meta.url)) })

/** What the rule says when `file`, which must exist, consists of `code`. */
const complaints = async (file: string, code: string): Promise<string[]> => {
  const results = await eslint.lintText(code, { filePath: file })
  return results.flatMap(({ messages }) => messages.filter(({ ruleId }) => ruleId === 'tsnat/import-directions').map(({ message }) => message))
}

it.each([
  ['src/stack/parse.ts', `import type { FlowTable } from '../nat/flow-table.js'`, /src\/stack\/parse may import only .* not src\/nat\/flow-table/],
  ['src/stack/wire/ipv4.ts', `export * from '../../host/sysctl.js'`, /not src\/host\/sysctl/],
  ['src/stack/device/tun.ts', `import { setTimeout } from 'timers-promises'`, /the data plane imports no package, not even timers-promises/],
  ['src/nat/track.ts', `import { RouteTable } from '../route/table.js'`, /not src\/route\/table/],
  ['src/route/table.ts', `import { FlowTable } from '../nat/flow-table.js'`, /not src\/nat\/flow-table/],
  ['src/policy/model.ts', `import type { Word } from './iptables/words.js'`, /src\/policy\/model may import only src\/policy\/model/],
  ['src/policy/iptables/scan.ts', `import type { FlowTable } from '../../nat/flow-table.js'`, /src\/policy\/iptables\/scan may import only .* not src\/nat\/flow-table/],
  ['src/policy/iproute/ip.ts', `import { Pipeline } from '../../pipeline.js'`, /not src\/pipeline/],
  ['src/worker.ts', `import { parseConfig } from './config.js'`, /not src\/config/],
  ['src/gateway.ts', `import { FlowTable } from './nat/flow-table.js'\nimport { RouteTable } from './route/table.js'`, /only .*src\/pipeline, .* may import both/],
  ['src/gateway.ts', `import '@scope/x'\nimport { z } from 'zod'`, /only src\/config, src\/config-schema may import zod/],
  ['src/config.ts', `const { Command } = await import('commander')`, /only src\/cli\/ may import commander/],
  ['src/gateway.ts', `import { main } from './cli/main.js'`, /only src\/cli\/ may import src\/cli\/main/],
  ['src/gateway.ts', `import { Lab } from './testing/index.js'`, /may import src\/testing\/index/],
  ['src/gateway.ts', `createRequire(import.meta.url)('../native/build/Release/tsnat.node')`, /only src\/native.ts loads the addon/],
])('%s: %s', async (file, code, expected) => {
  expect(await complaints(file, code)).toEqual([expect.stringMatching(expected)])
})

it('lets through what may be', async () => {
  expect(await complaints('src/pipeline.ts', `import { FlowTable } from './nat/flow-table.js'\nimport { RouteTable } from './route/table.js'`)).toEqual([])
  expect(await complaints('src/worker-protocol.ts', `import type { A } from './nat/flow-table.js'\nimport type { B } from './route/table.js'`)).toEqual([])
  expect(await complaints('src/nat/track.ts', `import { parse } from '../stack/parse.js'\nimport { join } from 'node:path'`)).toEqual([])
  expect(await complaints('src/cli/main.ts', `import { Command } from 'commander'\nimport { native } from '../native.js'`)).toEqual([])
})
