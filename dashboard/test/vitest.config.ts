// Tests of the built app in Chromium against the test server. Run `npm run build` before.
import { defineConfig } from 'vitest/config'

/** One browser per file of tests: more at once would starve a machine of two cores. */
const BROWSERS_MAX = 2

export default defineConfig({
  test: {
    include: ['test/*.test.mjs'],
    globalSetup: 'test/built.mjs',
    maxWorkers: BROWSERS_MAX,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
