// A session of a client in TypeScript: from the login to the delete. Arguments: URL of the server, e-mail, password.

import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

declare const process: { argv: [string, string, string, string, string] };

const [, , baseUrl, username, password] = process.argv;
const api = createClient<paths>({ baseUrl });

function expect(fact: boolean, what: string): asserts fact {
  if (!fact) throw new Error(what);
}

const form = { "Content-Type": "application/x-www-form-urlencoded" };

const refused = await api.POST("/api/v1/auth/login", {
  body: { username, password: "wrong password", grant_type: "password" },
  headers: form,
});
expect(refused.error !== undefined, "a wrong password is refused");
expect(refused.error.detail === "Incorrect e-mail or password", "the refusal says why");

const login = await api.POST("/api/v1/auth/login", {
  body: { username, password, grant_type: "password" },
  headers: form,
});
expect(login.data !== undefined, "the login is granted");
api.use({
  onRequest({ request }) {
    request.headers.set("Authorization", `Bearer ${login.data.access_token}`);
    return request;
  },
});

const parameters = { rsi_period: 14, bands: [30, 70.5], nested: { on: true, off: null } };
const content: components["schemas"]["StrategyCreate"] = {
  name: "From TypeScript",
  description: null,
  parameters,
  is_active: true,
};
const created = await api.POST("/api/v1/strategies", { body: content });
expect(created.data !== undefined, "the strategy is created");
const { id } = created.data;

const page = await api.GET("/api/v1/strategies", { params: { query: { limit: 10, active_only: true } } });
expect(page.data !== undefined, "the strategies are listed");
expect(page.data.total === 1 && page.data.items[0]?.id === id, "the list holds the strategy");

const updated = await api.PUT("/api/v1/strategies/{id}", {
  params: { path: { id } },
  body: { name: "Updated Strategy Name", description: "Buy oversold" },
});
expect(updated.data?.name === "Updated Strategy Name", "the name is another");
expect(JSON.stringify(updated.data.parameters) === JSON.stringify(parameters), "the parameters are as they were");

const invalid = await api.PUT("/api/v1/strategies/{id}", { params: { path: { id } }, body: { name: "" } });
expect(invalid.error !== undefined && typeof invalid.error.detail !== "string", "a list says what is wrong");
expect(invalid.error.detail[0]?.loc.join(".") === "body.name", "and where");

const deleted = await api.DELETE("/api/v1/strategies/{id}", { params: { path: { id } } });
expect(deleted.response.status === 204, "the strategy is deleted");
const gone = await api.GET("/api/v1/strategies/{id}", { params: { path: { id } } });
expect(gone.error?.detail === "Strategy not found", "the strategy is gone");
