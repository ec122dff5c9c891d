// With --default-non-nullable=false, what has a default can be left out. This file is compiled, not run.

import type { components } from "./api.js";

export const login: components["schemas"]["LoginForm"] = { username: "user@example.com", password: "SecurePassword123" };
export const strategy: components["schemas"]["StrategyCreate"] = { name: "From TypeScript" };
