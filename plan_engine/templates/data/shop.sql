-- A small shop for people to ask questions about: 24 products, 240 customers, 22 months of orders and of posts.
-- Made by arithmetic, so that it is the same everywhere: mixed(n) stands for (n * 2654435761 & 0xffffffff) >> 7.

CREATE TABLE customers (
    customer_id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    city TEXT NOT NULL,
    region TEXT NOT NULL,
    joined_on TEXT NOT NULL
);
CREATE TABLE products (
    product_id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    category TEXT NOT NULL,
    price REAL NOT NULL
);
CREATE TABLE orders (
    order_id INTEGER PRIMARY KEY,
    customer_id INTEGER NOT NULL REFERENCES customers,
    ordered_on TEXT NOT NULL,
    status TEXT NOT NULL
);
CREATE TABLE order_items (
    order_id INTEGER NOT NULL REFERENCES orders,
    product_id INTEGER NOT NULL REFERENCES products,
    quantity INTEGER NOT NULL,
    unit_price REAL NOT NULL,
    PRIMARY KEY (order_id, product_id)
) WITHOUT ROWID;
CREATE TABLE posts (
    post_id INTEGER PRIMARY KEY,
    platform TEXT NOT NULL,
    format TEXT NOT NULL,
    posted_on TEXT NOT NULL,
    product_id INTEGER NOT NULL REFERENCES products,
    caption TEXT NOT NULL,
    reach INTEGER NOT NULL,
    likes INTEGER NOT NULL,
    comments INTEGER NOT NULL,
    shares INTEGER NOT NULL
);

INSERT INTO products (name, category, price) VALUES
    ('Oak desk', 'Furniture', 389.0), ('Reading chair', 'Furniture', 249.0), ('Bookcase', 'Furniture', 179.0),
    ('Bedside table', 'Furniture', 89.0), ('Coat stand', 'Furniture', 59.0), ('Folding stool', 'Furniture', 35.0),
    ('Desk lamp', 'Lighting', 49.0), ('Floor lamp', 'Lighting', 119.0), ('Lantern', 'Lighting', 29.0),
    ('String lights', 'Lighting', 19.0), ('Wall light', 'Lighting', 69.0), ('Night light', 'Lighting', 15.0),
    ('Wool blanket', 'Textiles', 79.0), ('Linen curtain', 'Textiles', 65.0), ('Cotton rug', 'Textiles', 129.0),
    ('Cushion', 'Textiles', 25.0), ('Tablecloth', 'Textiles', 39.0), ('Tea towel', 'Textiles', 9.0),
    ('Stoneware bowl', 'Kitchen', 22.0), ('Teapot', 'Kitchen', 45.0), ('Chopping board', 'Kitchen', 32.0),
    ('Cast-iron pan', 'Kitchen', 85.0), ('Mug', 'Kitchen', 12.0), ('Coffee mill', 'Kitchen', 95.0);

CREATE TEMP TABLE towns (n INTEGER PRIMARY KEY, city TEXT, region TEXT);
INSERT INTO towns VALUES
    (0, 'Edinburgh', 'North'), (1, 'Newcastle', 'North'), (2, 'Leeds', 'North'), (3, 'Cardiff', 'West'),
    (4, 'Bristol', 'West'), (5, 'Norwich', 'East'), (6, 'Cambridge', 'East'), (7, 'London', 'South'),
    (8, 'Brighton', 'South'), (9, 'London', 'South');
CREATE TEMP TABLE given_names (n INTEGER PRIMARY KEY, name TEXT);
INSERT INTO given_names VALUES
    (0, 'Ada'), (1, 'Ben'), (2, 'Clara'), (3, 'David'), (4, 'Elif'), (5, 'Farid'), (6, 'Grace'), (7, 'Hana'), (8, 'Ivan'),
    (9, 'Jane'), (10, 'Kofi'), (11, 'Lena'), (12, 'Maria'), (13, 'Noah'), (14, 'Olga'), (15, 'Priya'), (16, 'Quentin'),
    (17, 'Rosa'), (18, 'Samuel'), (19, 'Tara');
CREATE TEMP TABLE family_names (n INTEGER PRIMARY KEY, name TEXT);
INSERT INTO family_names VALUES
    (0, 'Abbott'), (1, 'Brandt'), (2, 'Chowdhury'), (3, 'Doyle'), (4, 'Evans'), (5, 'Fischer'), (6, 'Green'), (7, 'Hughes'),
    (8, 'Ito'), (9, 'Jensen'), (10, 'Khan'), (11, 'Lopez');

WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 239)
INSERT INTO customers (customer_id, name, city, region, joined_on)
SELECT numbers.n + 1,
       given_names.name || ' ' || family_names.name,
       towns.city,
       towns.region,
       date('2024-06-01', '+' || (((numbers.n * 2654435761 & 0xffffffff) >> 7) % 700) || ' days')
FROM numbers
JOIN given_names ON given_names.n = numbers.n % 20
JOIN family_names ON family_names.n = numbers.n / 20
JOIN towns ON towns.n = (((numbers.n + 17) * 2654435761 & 0xffffffff) >> 9) % 10;

-- So many orders a day: more every month, and more still before Christmas.
WITH RECURSIVE
    days(day) AS (SELECT 0 UNION ALL SELECT day + 1 FROM days WHERE day < 668),
    rates(day, rate) AS (
        SELECT day,
               2 + day / 220 + ((day * 2654435761 & 0xffffffff) >> 7) % 4
                 + 3 * (strftime('%m', date('2025-01-01', '+' || day || ' days')) IN ('11', '12'))
        FROM days
    ),
    sold(day, n, rate) AS (
        SELECT day, 1, rate FROM rates
        UNION ALL SELECT day, n + 1, rate FROM sold WHERE n < rate
    )
INSERT INTO orders (order_id, customer_id, ordered_on, status)
SELECT day * 20 + n,
       -- some customers come often, as the mean of a fraction and its square is mostly small; 97 shuffles their names
       1 + ((luck + (luck * luck >> 16)) * 120 >> 16) * 97 % 240,
       date('2025-01-01', '+' || day || ' days'),
       CASE (((day * 20 + n) * 2654435761 & 0xffffffff) >> 7) % 25
           WHEN 0 THEN 'cancelled' WHEN 1 THEN 'returned' ELSE 'delivered' END
FROM (SELECT day, n, (day * 20 + n) * 40503 & 0xffff AS luck FROM sold);

WITH RECURSIVE lines(order_id, n) AS (
    SELECT order_id, 1 FROM orders
    UNION ALL SELECT order_id, n + 1 FROM lines WHERE n < 1 + ((order_id * 2246822519 & 0xffffffff) >> 9) % 3
)
INSERT OR IGNORE INTO order_items (order_id, product_id, quantity, unit_price)
SELECT order_id,
       products.product_id,
       1 + (((order_id + n) * 668265263 & 0xffffffff) >> 8) % 3 * (products.price < 60),
       products.price
FROM lines
JOIN products ON products.product_id = 1 + (((order_id * 3 + n) * 2654435761 & 0xffffffff) >> 8) % 24;

-- A post every second day or so, about one product; some are seen far more often than others, and videos are shared more.
CREATE TEMP TABLE angles (n INTEGER PRIMARY KEY, angle TEXT);
INSERT INTO angles VALUES
    (0, 'how it is made'), (1, 'at home with a customer'), (2, 'three ways to use it'), (3, 'back in stock'),
    (4, 'a look at the details'), (5, 'behind the scenes'), (6, 'before and after');

WITH RECURSIVE
    numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 383),
    luck(n, day, a, b, c) AS (
        SELECT n, n * 669 / 384, ((n + 5) * 2654435761 & 0xffffffff) >> 7, ((n + 9) * 2246822519 & 0xffffffff) >> 9,
               (n + 3) * 668265263 >> 8 & 0xffff
        FROM numbers
    ),
    seen(n, day, a, b, c, platform, format, reach) AS (
        SELECT n, day, a, b, c,
               CASE n % 4 WHEN 2 THEN 'Facebook' WHEN 3 THEN 'Pinterest' ELSE 'Instagram' END,
               CASE a % 5 WHEN 0 THEN 'video' WHEN 1 THEN 'carousel' WHEN 2 THEN 'video' ELSE 'photo' END,
               (400 + day + b % 700 + (c * c >> 16) * c / 1200000) * (4 - n % 4) / 3
        FROM luck
    )
INSERT INTO posts (post_id, platform, format, posted_on, product_id, caption, reach, likes, comments, shares)
SELECT seen.n + 1, platform, format, date('2025-01-01', '+' || day || ' days'), products.product_id,
       products.name || ': ' || angles.angle,
       reach,
       reach * (30 + a % 50) / 1000,
       reach * (3 + b % 8) / 1000,
       reach * (2 + c % 6 + 6 * (format = 'video')) / 1000
FROM seen
JOIN products ON products.product_id = 1 + (a + b) % 24
JOIN angles ON angles.n = (b + c) % 7;

CREATE INDEX orders_by_day ON orders (ordered_on);
CREATE INDEX orders_by_customer ON orders (customer_id);
