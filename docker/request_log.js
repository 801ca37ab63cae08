// Leaves columns out of the body of a request before it is logged. REQUEST_LOG_DROP and
// REQUEST_LOG_HASH name them, as the heading of a CSV would.
import crypto from 'crypto';

const same = (name) => String(name).trim().toLowerCase();
const listed = (text) => (text ? parse(text)[0].map(same) : []);
const dropped = listed(process.env.REQUEST_LOG_DROP);
const hashed = listed(process.env.REQUEST_LOG_HASH);

function hash(value) {
    if (value === null || value === '') {
        return value;
    }
    const text = typeof value == 'object' ? JSON.stringify(value) : String(value);
    return crypto.createHmac('sha256', process.env.REQUEST_LOG_KEY).update(text).digest('hex');
}

// A row, or columns by name with their cells.
function thinObject(row) {
    const thin = {};
    Object.keys(row).forEach((name) => {
        const value = row[name];
        if (dropped.includes(same(name))) {
            return;
        }
        if (hashed.includes(same(name))) {
            thin[name] = Array.isArray(value) ? value.map(hash) : hash(value);
        } else {
            thin[name] = value;
        }
    });
    return thin;
}

// Rows of cells under a heading.
function thinRows(heading, rows) {
    const kept = heading.map((_, i) => i).filter((i) => !dropped.includes(same(heading[i])));
    const secret = kept.map((i) => hashed.includes(same(heading[i])));
    return {
        columns: kept.map((i) => heading[i]),
        data: rows.map((row) => kept.map((i, k) => (secret[k] ? hash(row[i]) : row[i]))),
    };
}

function thinData(data) {
    if (!Array.isArray(data)) {
        return thinObject(data);
    }
    if (data.some((row) => row === null || typeof row != 'object' || Array.isArray(row))) {
        throw new Error('rows without names');
    }
    return data.map(thinObject);
}

// Only what MLflow reads is kept.
function thinJson(text) {
    const request = JSON.parse(text), thin = {};
    ['dataframe_records', 'inputs', 'instances'].forEach((form) => {
        if (form in request) {
            thin[form] = thinData(request[form]);
        }
    });
    if ('dataframe_split' in request) {
        thin.dataframe_split = thinRows(request.dataframe_split.columns, request.dataframe_split.data);
    }
    if ('params' in request) {
        thin.params = request.params;
    }
    return JSON.stringify(thin);
}

function thinCsv(text) {
    const rows = parse(text);
    const table = thinRows(rows[0], rows.slice(1).filter((row) => row.length > 1 || row[0]));
    const quoted = (cell) => (/[",\r\n]/.test(cell) ? `"${cell.replace(/"/g, '""')}"` : cell);
    return [table.columns].concat(table.data).map((row) => row.map(quoted).join(',') + '\n').join('');
}

// The cells of a CSV, row by row.
function parse(text) {
    const cell = /("(?:[^"]|"")*"[^,\r\n]*|[^,\r\n]*)(,|\r\n|\n|\r|$)/g;
    const rows = [[]];
    let match;
    while (cell.lastIndex < text.length && (match = cell.exec(text))) {
        const plain = match[1].replace(/^"((?:[^"]|"")*)"/, (_, inner) => inner.replace(/""/g, '"'));
        rows[rows.length - 1].push(plain);
        if (match[2] == ',' && cell.lastIndex == text.length) {
            rows[rows.length - 1].push('');
        } else if (match[2] != ',' && cell.lastIndex < text.length) {
            rows.push([]);
        }
    }
    return rows;
}

// "" where columns cannot be left out: Parquet, rows without names, NaN in JSON.
function body(r) {
    const type = r.variables.type, text = r.variables.request_body;
    try {
        return type.startsWith('text/csv') ? thinCsv(text)
            : type.startsWith('application/json') ? thinJson(text) : '';
    } catch (error) {
        return '';
    }
}

export default { body };
