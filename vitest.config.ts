import { defineConfig } from 'vitest/config'

/** Tests that make network namespaces or start programs in them: root only. */
const inNamespaces = ['test/netns/**/*.test.ts', 'test/interop/**/*.test.ts']

/** Of these, the ones that ask for what a busy machine does not give: that nothing is lost at a rate, that nothing is late. They run alone. */
const alone = [
  'test/interop/http.test.ts',
  'test/interop/iperf.test.ts',
  'test/netns/floods.test.ts',
  'test/netns/modes-gc.test.ts',
  'test/netns/rules-swap.test.ts',
]

/** Real programs on a machine that others use too: what fails is tried once more, and reported as such. */
const patience = { retry: 1, testTimeout: 120_000, hookTimeout: 60_000, expect: { poll: { timeout: 20_000 } } }

export default defineConfig({
  test: {
    pool: 'forks',
    setupFiles: ['test/setup.ts'],
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts'],
      reporter: ['text-summary', 'lcov', 'json-summary'],
      reportsDirectory: 'coverage',
      reportOnFailure: true,
    },
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: inNamespaces,
          maxWorkers: '100%',
          testTimeout: 30_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: { name: 'netns', include: inNamespaces, exclude: alone, ...patience, maxWorkers: 3, sequence: { groupOrder: 1 } },
      },
      {
        extends: true,
        test: { name: 'netns-alone', include: alone, ...patience, fileParallelism: false, sequence: { groupOrder: 2 } },
      },
    ],
  },
})
