CREATE TABLE invoices (
    order_id   uuid          PRIMARY KEY,
    customer   text          NOT NULL,
    total      numeric(12,2) NOT NULL,
    placed_at  timestamptz   NOT NULL,
    void_since timestamptz,
    void_because text
);

CREATE TABLE invoice_lines (
    order_id uuid NOT NULL REFERENCES invoices,
    line     int  NOT NULL,
    sku      text NOT NULL,
    quantity int  NOT NULL,
    PRIMARY KEY (order_id, line)
);
