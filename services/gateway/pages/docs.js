// The page of the API: reads the description and makes a form of each operation. Text goes in as text, never as markup.
"use strict";

const page = document.getElementById("operations");

function element(name, text, ...children) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

function authorization() {
  const value = (id) => document.getElementById(id).value;
  if (value("token")) return "Bearer " + value("token");
  if (!value("login")) return null;
  const octets = new TextEncoder().encode(value("login") + ":" + value("secret"));
  return "Basic " + btoa(String.fromCharCode(...octets));
}

function parameterForm(parameters) {
  const fields = parameters.map((parameter) => {
    const input = element("input");
    input.placeholder = parameter.required ? "required" : "";
    return { parameter, input };
  });
  const rows = fields.map(({ parameter, input }) => element("tr", "",
    element("td", "", element("code", parameter.name)), element("td", parameter.in),
    element("td", "", input), element("td", parameter.description || "")));
  return { fields, table: element("table", "", ...rows) };
}

function bodyForm(operation) {
  const content = Object.entries(operation.requestBody?.content || {})[0];
  if (!content) return null;
  const area = element("textarea");
  area.value = content[1].example ? JSON.stringify(content[1].example, null, 2) : "";
  return { mediaType: content[0], area };
}

function request(method, path, operation, fields, body) {
  const headers = new Headers();
  const query = new URLSearchParams();
  let address = path;
  for (const { parameter, input } of fields) {
    if (parameter.in === "path") address = address.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    else if (input.value && parameter.in === "query") query.append(parameter.name, input.value);
    else if (input.value && parameter.in === "header") headers.set(parameter.name, input.value);
  }
  const credential = authorization();
  if (credential && operation.security?.length) headers.set("Authorization", credential);
  if (body) headers.set("Content-Type", body.mediaType);
  const search = query.toString();
  return fetch(search ? `${address}?${search}` : address,
    { method, headers, body: body ? body.area.value : undefined, credentials: "omit", redirect: "error" });
}

async function told(answer) {
  const type = answer.headers.get("Content-Type") || "";
  const head = `${answer.status}\n` + [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
  if (!type.includes("json")) return `${head}\n\n${(await answer.blob()).size} bytes`;
  return `${head}\n\n${JSON.stringify(await answer.json(), null, 2)}`;
}

function schemaDetails(title, value) {
  return element("details", "", element("summary", title), element("pre", JSON.stringify(value, null, 2)));
}

function operationDetails(method, path, operation) {
  const { fields, table } = parameterForm(operation.parameters || []);
  const body = bodyForm(operation);
  const output = element("pre", "");
  output.hidden = true;
  const button = element("button", "Send");
  button.type = "button";
  button.addEventListener("click", async () => {
    output.hidden = false;
    output.textContent = "…";
    try {
      output.textContent = await told(await request(method, path, operation, fields, body));
    } catch (error) {
      output.textContent = "No answer: " + error.message;
    }
  });
  const refusals = Object.entries(operation.responses).map(([status, one]) =>
    element("tr", "", element("td", "", element("code", status)), element("td", one.description)));
  return element("details", "",
    element("summary", "", element("code", method), element("code", path), element("span", operation.summary || "")),
    element("p", operation.description || ""), table, ...(body ? [element("p", body.mediaType), body.area] : []),
    button, output, element("table", "", ...refusals), schemaDetails("Described as", operation));
}

async function show() {
  const description = await (await fetch("/v1/openapi.json")).json();
  const byTag = new Map();
  for (const [path, item] of Object.entries(description.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const tag = (operation.tags || ["other"])[0];
      if (!byTag.has(tag)) byTag.set(tag, []);
      byTag.get(tag).push(operationDetails(method.toUpperCase(), path, operation));
    }
  }
  page.replaceChildren(...[...byTag].map(([tag, those]) => element("section", "", element("h2", tag), ...those)),
    element("section", "", element("h2", "schemas"),
      ...Object.entries(description.components.schemas).map(([name, schema]) => schemaDetails(name, schema))));
}

show().catch((error) => page.replaceChildren(element("p", "The description could not be read: " + error.message)));
